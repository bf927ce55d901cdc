import { type Client, createClient, type Event } from '@flotilla/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Coordinators, createCoordinators } from '../lib/coordinators.ts';
import { auditInvariants } from '../lib/invariants.ts';
import { until } from '../lib/until.ts';

/** No rescan ends a wait within these tests: what arrives was hinted. */
const RESCAN_MS = 600_000;
/** A hint takes some 10 ms; a machine that stalls gets slack. It is a hundredth of the rescan. */
const PROMPT_MS = 5_000;
const RETENTION_MS = 1_000;

let both: Coordinators;
let a: Client;
let b: Client;

beforeAll(async () => {
  both = await createCoordinators(2, {
    FLOTILLA_RESCAN_MS: String(RESCAN_MS),
    FLOTILLA_RETENTION_EVERY_MS: String(RETENTION_MS),
  });
  [a, b] = both.clients as [Client, Client]; // as many as were asked for
}, 60_000);

afterAll(async () => {
  await both?.close();
}, 60_000);

/** Joins at A and speaks to B from then on. */
const joinAtA = async (name: string, slots = 1) => {
  const { token = '' } = await a.join_tokens.create({ body: { slots } });
  const { agent, agent_token = '' } = await a.agents.register({
    body: { join_token: token, agent: { name, slots } },
  });
  return { id: agent.id, client: createClient({ base_url: both.all[1]?.url ?? '', token: agent_token }) };
};

const parkedAtB = async (): Promise<number> => {
  const metrics = await (await fetch(`${both.all[1]?.url}/metrics`)).text();
  return Number(/^flotilla_parked_claims (\d+)$/m.exec(metrics)?.[1]);
};

/** Parks a claim at B, lets something happen, and answers what the claim got and how long after that it took. */
const parkAndDo = async (agent: Client, act: () => Promise<unknown>, slots = 1) => {
  const claimed = agent.tasks.claim({ body: { slots, wait_s: 50 } });
  claimed.catch(() => {}); // awaited below; a failure of `act` is the one to report
  // The first look of a waiter takes a moment; a hint may only count once it sleeps.
  await until('the claim to park', async () => (await parkedAtB()) === 1);
  const began = performance.now();
  await act();
  const { tasks } = await claimed;
  return { tasks, waited_ms: performance.now() - began };
};

/** Task events of a stream, until there are so many of one type. */
const readEvents = async (client: Client, after: number, type: string, count: number): Promise<Event[]> => {
  const over = new AbortController();
  const answer = await client.events.stream(
    { query: { last_event_id: after, types: 'task' } },
    { signal: over.signal },
  );
  const events: Event[] = [];
  let rest = '';
  try {
    for await (const chunk of answer.body ?? []) {
      rest += Buffer.from(chunk).toString('utf8');
      const frames = rest.split('\n\n');
      rest = frames.pop() ?? '';
      for (const frame of frames) {
        const data = /^data: (.*)$/m.exec(frame)?.[1];
        if (data !== undefined) events.push(JSON.parse(data) as Event);
      }
      if (events.filter((event) => event.type === type).length >= count) break;
    }
  } finally {
    over.abort();
  }
  return events;
};

describe('two coordinators on one Postgres', () => {
  it('a task that is created at A is held at once by an agent that is parked at B', async () => {
    const agent = await joinAtA('waker', 32);
    for (let round = 0; round < 10; round++) {
      const { tasks, waited_ms } = await parkAndDo(agent.client, () => a.tasks.create({ body: { title: 'for B' } }));
      expect(tasks).toHaveLength(1);
      expect(waited_ms).toBeLessThan(PROMPT_MS);
      for (const { id, epoch } of tasks)
        await agent.client.tasks.complete({ params: { id }, body: { epoch, resolution: 'done' } });
    }
  });

  it('a drain at A ends the poll that is parked at B, and nothing is claimed there after it', async () => {
    const agent = await joinAtA('drained');
    const drain = () => a.agents.drain({ params: { id: agent.id }, body: {} });
    const { tasks, waited_ms } = await parkAndDo(agent.client, drain);
    expect(tasks).toEqual([]);
    expect(waited_ms).toBeLessThan(PROMPT_MS);
    const task = await a.tasks.create({ body: { title: 'not for him', assigned_to: 'drained' } });
    expect((await agent.client.tasks.claim({ body: { slots: 1 } })).tasks).toEqual([]);
    await a.tasks.cancel({ params: { id: task.id }, body: {} });
  });

  it('a cancel at A ends the poll of its agent at B, whose next beat brings the order', async () => {
    const agent = await joinAtA('canceller', 2);
    const task = await a.tasks.create({ body: { title: 'to cancel', assigned_to: 'canceller' } });
    const [held] = (await agent.client.tasks.claim({ body: { slots: 1, wait_s: 5 } })).tasks;
    expect(held?.id).toBe(task.id);
    const epoch = held?.epoch ?? 0;
    const attempts = [{ task_id: task.id, epoch, phase: 'running' as const }];
    const beat = () =>
      agent.client.agents.heartbeat({
        params: { id: agent.id },
        body: { instance_id: 'one', seq: 0, slots: 2, attempts },
      });
    expect((await beat()).attempts).toMatchObject([{ task_id: task.id, verdict: 'renewed' }]);
    const cancel = () => a.tasks.cancel({ params: { id: task.id }, body: {} });
    const { tasks, waited_ms } = await parkAndDo(agent.client, cancel);
    expect(tasks).toEqual([]);
    expect(waited_ms).toBeLessThan(PROMPT_MS);
    expect((await beat()).attempts).toMatchObject([{ task_id: task.id, epoch, verdict: 'cancel' }]);
    const body = { epoch, retryable: false, kind: 'cancelled', message: 'stopped' };
    await agent.client.tasks.fail({ params: { id: task.id }, body });
    expect((await a.tasks.get({ params: { id: task.id } })).status).toBe('cancelled');
  });

  it('events of both have one order, the same at both, without gaps', async () => {
    const [row] = await both.sql`select last_seq from sequencer where chain = 'events'`;
    const after = Number(row?.last_seq);
    const streams = Promise.all(both.clients.map((client) => readEvents(client, after, 'task.cancelled', 40)));
    await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const [one, other] = index % 2 === 0 ? [a, b] : [b, a];
        const { id } = await one.tasks.create({ body: { title: `event ${index}`, required_tags: ['nobody'] } });
        await other.tasks.cancel({ params: { id }, body: {} });
      }),
    );
    const [atA = [], atB = []] = await streams;
    expect(atB).toEqual(atA);
    const ours = atA.map(({ seq }) => seq);
    expect(ours).toEqual(Array.from({ length: 80 }, (_, index) => (ours[0] ?? 0) + index));
    const first = new Map<number, string>();
    for (const { entity_id, type } of atA) if (!first.has(entity_id)) first.set(entity_id, type);
    expect([...new Set(first.values())]).toEqual(['task.created']);
  });

  it('retention runs once per period, not once per coordinator', async () => {
    const runs = () =>
      [...both.logs().matchAll(/"time":"([^"]+)"[^\n]*"msg":"retention ran"/g)]
        .map(([, time = '']) => Date.parse(time))
        .toSorted((x, y) => x - y);
    const times = await until('retention to have run six times', () => (runs().length >= 6 ? runs() : null));
    // A run may be late, and then the next one is less than a period behind it; the schedule's slots never meet.
    const periods = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / RETENTION_MS;
    expect(times.length).toBeLessThanOrEqual(Math.ceil(periods) + 2);
    for (const coordinator of both.all) await auditInvariants(coordinator);
  });
});
