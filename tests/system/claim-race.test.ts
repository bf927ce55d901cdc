import { randomUUID } from 'node:crypto';
import http from 'node:http';

import { type ClaimedTask, type Client, createClient, type Transport } from '@flotilla/shared';
import { describe, expect, it } from 'vitest';

import { ADMIN_TOKEN } from '../lib/coordinator.ts';
import { type Fleet, openFleet } from '../lib/fleet.ts';
import { auditRunning, openDatabase } from '../lib/invariants.ts';
import { createRandom, isLong, pickSeed, type Random } from '../lib/random.ts';

const CLAIMERS = 64;
const TASKS = isLong ? 10_000 : 2_000;
const STALLED_MS = 15_000;
const TAGS = ['gpu', 'mac', 'fast'];

type Claimer = { name: string; id: number; tags: string[]; client: Client };

/** Core http with kept-alive connections, as agentd has it: 64 clients of fetch would measure fetch. */
const createTransport = (): { transport: Transport; close: () => void } => {
  const agent = new http.Agent({ keepAlive: true });
  const transport: Transport = ({ method, url, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const call = http.request(url, { method, headers, agent, signal }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.once('error', reject);
        answer.once('end', () => {
          const status = answer.statusCode ?? 0;
          resolve(new Response(status === 204 ? null : Buffer.concat(chunks), { status }));
        });
      });
      call.once('error', reject);
      call.end(body as string); // only JSON is sent here
    });
  return { transport, close: () => agent.destroy() };
};

const registerClaimers = (fleet: Fleet, transport: Transport, random: Random): Promise<Claimer[]> =>
  Promise.all(
    Array.from({ length: CLAIMERS }, async (_, index) => {
      const tags = TAGS.filter(() => random.next() < 0.5);
      const name = `claimer-${index}`;
      const { token = '' } = await fleet.client.join_tokens.create({ body: { tags } });
      const answer = await fleet.client.agents.register({
        body: { join_token: token, agent: { name, slots: random.between(1, 8) } },
      });
      const client = createClient({ base_url: fleet.coordinator.url, token: answer.agent_token ?? null, transport });
      return { name, id: answer.agent.id, tags, client };
    }),
  );

type Wanted = { assigned_to?: string; required_tags?: string[] };

const createTasks = async (client: Client, claimers: Claimer[], random: Random): Promise<Map<number, Wanted>> => {
  const wanted = new Map<number, Wanted>();
  const bodies = Array.from({ length: TASKS }, (_, index) => {
    const kind = random.next();
    const extra: Wanted =
      kind < 0.1
        ? { assigned_to: random.pick(claimers).name }
        : kind < 0.3
          ? { required_tags: [random.pick(TAGS)] }
          : {};
    return { title: `task ${index}`, priority: random.pick(['critical', 'high', 'medium', 'low'] as const), ...extra };
  });
  const rest = bodies.values(); // one iterator that the lanes share
  const lane = async () => {
    for (const { title, priority, ...extra } of rest) {
      const task = await client.tasks.create({ body: { title, priority, ...extra } });
      wanted.set(task.id, extra);
    }
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  return wanted;
};

/** What every claimer was given, by task; a task that is here twice was claimed twice. */
type Given = Map<number, { claimer: Claimer; task: ClaimedTask }[]>;

/** Claims, completes, and sometimes hangs up in the middle of a claim and asks again under the same id. */
const work = async (
  claimer: Claimer,
  { given, done, signal: over }: { given: Given; done: Set<number>; signal: AbortSignal },
  random: Random,
): Promise<void> => {
  const slots = random.between(1, 6);
  const claimOnce = async (claim_id: string, give_up_ms?: number): Promise<ClaimedTask[] | null> => {
    const signal = give_up_ms === undefined ? undefined : AbortSignal.timeout(give_up_ms);
    try {
      return (await claimer.client.tasks.claim({ body: { slots, wait_s: 1, claim_id } }, { signal })).tasks;
    } catch (error) {
      if (signal?.aborted === true) return null;
      throw error;
    }
  };
  let progress = { size: -1, at: 0 };
  while (done.size < TASKS && !over.aborted) {
    if (done.size !== progress.size) progress = { size: done.size, at: performance.now() };
    // Every claim waits a second at most: what nobody was given by now, nobody will be.
    if (performance.now() - progress.at > STALLED_MS) return;
    const claim_id = randomUUID();
    const tasks =
      (random.next() < 0.1 ? await claimOnce(claim_id, random.between(0, 15)) : null) ??
      (await claimOnce(claim_id)) ??
      [];
    for (const task of tasks) given.set(task.id, [...(given.get(task.id) ?? []), { claimer, task }]);
    for (const { id, epoch } of tasks) {
      const answer = await claimer.client.tasks.complete({
        params: { id },
        body: { epoch, resolution: `${id} by ${claimer.name}` },
      });
      expect(answer.status).toBe('done');
      done.add(id);
    }
  }
};

const run = async (fleet: Fleet, transport: Transport, seed: number, signal: AbortSignal) => {
  const random = createRandom(seed);
  const claimers = await registerClaimers(fleet, transport, random);
  const admin = createClient({ base_url: fleet.coordinator.url, token: ADMIN_TOKEN, transport });
  const given: Given = new Map();
  const done = new Set<number>();
  const workers = Promise.all(
    claimers.map((claimer, index) => work(claimer, { given, done, signal }, createRandom(seed + index))),
  );
  workers.catch(() => {}); // awaited below; a failure before that is the one to report
  const wanted = await createTasks(admin, claimers, random);
  await auditRunning(fleet.coordinator);
  await workers;
  return { given, wanted };
};

/** Names every task that was claimed in the database and reached nobody, and every one that was never claimed. */
const expectAllGiven = async (fleet: Fleet, given: Given): Promise<void> => {
  const sql = openDatabase(fleet.coordinator);
  const left = await sql`
    select t.id, t.status, t.assigned_to, t.required_tags, a.agent_id, a.claim_id, a.state from tasks t left join attempts a on a.task_id = t.id
    where t.status <> 'done' order by t.id`;
  await sql.end();
  expect(left.map((row) => JSON.stringify({ ...row, given: given.has(Number(row.id)) }))).toEqual([]);
  expect(given.size).toBe(TASKS);
};

describe('R1: 64 claimers race for a queue that is being filled', () => {
  it.for([1, 2])(
    'run %i: every task is claimed once, by an agent that matches it, and none is lost',
    async (turn, test) => {
      const seed = pickSeed(`R1 run ${turn}`);
      const fleet = await openFleet(test, { FLOTILLA_LEASE_MS: '120000' });
      const { transport, close } = createTransport();
      try {
        const { given, wanted } = await run(fleet, transport, seed, test.signal);
        await expectAllGiven(fleet, given);
        expect([...given].filter(([, times]) => times.length !== 1)).toEqual([]);
        for (const [id, [one]] of given) {
          const { assigned_to, required_tags = [] } = wanted.get(id) ?? {};
          if (assigned_to !== undefined) expect(one?.claimer.name).toBe(assigned_to);
          for (const tag of required_tags) expect(one?.claimer.tags).toContain(tag);
        }
        const sql = openDatabase(fleet.coordinator);
        const [counts] = await sql`
        select count(*)::int as tasks, count(*) filter (where status = 'done' and attempts = 1)::int as once,
          count(*) filter (where resolution like id || ' by %')::int as kept, (select count(*)::int from attempts) as attempts from tasks`;
        await sql.end();
        expect(counts).toEqual({ tasks: TASKS, once: TASKS, kept: TASKS, attempts: TASKS });
        await fleet.audit();
      } finally {
        close();
      }
    },
  );
});

describe('R1: claims of one agent at the same moment', () => {
  it('never get more than its slots, however many requests ask in whatever order', async (test) => {
    const fleet = await openFleet(test, { FLOTILLA_LEASE_MS: '120000' });
    const random = createRandom(pickSeed('R1 one agent'));
    const { transport, close } = createTransport();
    try {
      const claimers = await registerClaimers(fleet, transport, random);
      for (let index = 0; index < 60; index++) await fleet.createTask({ title: `task ${index}` });
      const taken = new Map<string, Set<number>>();
      // Others keep a batch busy meanwhile, so that the requests of one agent come into the next one together.
      await Promise.all(
        claimers.slice(0, 12).flatMap(({ name, client }) => {
          const claim_id = random.next() < 0.5 ? randomUUID() : undefined;
          const ids = new Set<number>();
          taken.set(name, ids);
          return Array.from({ length: random.between(1, 4) }, async () => {
            const { tasks } = await client.tasks.claim({ body: { slots: 2, claim_id: claim_id ?? randomUUID() } });
            for (const { id } of tasks) ids.add(id);
          });
        }),
      );
      await auditRunning(fleet.coordinator);
      const all = [...taken.values()].flatMap((ids) => [...ids]);
      expect(new Set(all).size).toBe(all.length);
    } finally {
      close();
    }
  });
});
