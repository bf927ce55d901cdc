import type { ClaimedTask } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { expireLeases } from '../src/tasks/expire/expire.ts';
import { testApp } from './lib/app.ts';
import type { Held, TestAgent, TestWorkspace } from './lib/fleet.ts';

const LONG = process.env.FLOTILLA_TEST_LONG === '1';
const INTERLEAVINGS = LONG ? 10_000 : 600;
const EXPIRED_MS = 121_000;

const app = await testApp();

describe('assigning', () => {
  test('50 identical assigns beside polls and claims make one attempt', async () => {
    for (let round = 0; round < 10; round++) {
      const workspace = await app.workspace();
      const agent = await workspace.agent({ slots: 8, online: true });
      const task = await workspace.task({ status: 'backlog' });
      const params = { id: task.id };
      const assign = () => workspace.admin.tasks.assign({ params, body: { assigned_to: agent.name } });
      const unpark = () => workspace.admin.tasks.patch({ params, body: { status: 'assigned' } });
      const asked = [
        ...Array.from({ length: 50 }, assign),
        unpark(),
        ...Array.from({ length: 5 }, () => agent.client.tasks.queue({ query: { max_capacity: 8 } })),
        agent.claim(8),
      ].map((call) => (call as Promise<unknown>).catch((error: unknown) => error)); // of several types; only errors are looked at
      // Who comes after the claim is told that it runs; nothing else may go wrong.
      for (const answer of await Promise.all(asked))
        if (answer instanceof Error) expect(answer).toMatchObject({ status: 409, code: 'task_running' });
      await agent.claim(8);
      expect(await workspace.attempts(task)).toHaveLength(1);
      expect(await workspace.read(task)).toMatchObject({ status: 'in_progress', claimed_by: agent.name, attempts: 1 });
    }
  });
});

describe('a result that races its expiry', () => {
  test(
    `${INTERLEAVINGS} interleavings: one winner, and both win sometimes`,
    async () => {
      const won = { result: 0, expiry: 0 };
      const SIZE = 50;
      for (let round = 0; round < INTERLEAVINGS / SIZE; round++) {
        const workspace = await app.workspace();
        const agents = [await workspace.agent({ slots: 32 }), await workspace.agent({ slots: 32 })];
        await Promise.all(Array.from({ length: SIZE }, () => workspace.task()));
        const held = (await Promise.all(agents.map((agent) => agent.claim(SIZE / 2)))).flatMap((tasks, index) =>
          tasks.map((task): [TestAgent, ClaimedTask] => [agents[index] as TestAgent, task]),
        );
        expect(held).toHaveLength(SIZE);
        await app.shiftClock(EXPIRED_MS);
        const turn = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 25));
        const reports = held.map(async ([agent, task]) => {
          await turn();
          await agent.complete(task);
        });
        const expiries = [1, 2].map(async () => {
          await turn();
          await expireLeases(app.deps);
        });
        await Promise.all([...reports, ...expiries]);
        // Nobody claimed meanwhile, so a result is welcome on both sides of the expiry: no task may be left.
        const rows = await app.sql<{ status: string; attempts: number; states: string[]; stale: number }[]>`
          select t.status, t.attempts, t.stale_requeues as stale, array_agg(a.state) as states from tasks t join attempts a on a.task_id = t.id
          where t.workspace_id = ${workspace.id} group by t.id`;
        expect(rows).toHaveLength(SIZE);
        for (const row of rows) {
          expect(row).toMatchObject({ status: 'done', attempts: 1, states: ['completed'] });
          won[row.stale === 0 ? 'result' : 'expiry'] += 1;
        }
      }
      expect(won.result + won.expiry).toBe(INTERLEAVINGS);
      expect(won.result).toBeGreaterThan(0);
      expect(won.expiry).toBeGreaterThan(0);
    },
    LONG ? 1_800_000 : 60_000,
  );
});

describe('what goes back to the queue', () => {
  type Way = (workspace: TestWorkspace, agent: TestAgent, held: Held) => Promise<unknown>;
  const ways: [string, Way][] = [
    ['unclaim', (_workspace, agent, held) => agent.unclaim(held)],
    ['fail', (_workspace, agent, held) => agent.fail(held)],
    ['release', (workspace, _agent, held) => workspace.admin.tasks.release({ params: { id: held.id } })],
    ['expiry', () => app.shiftClock(EXPIRED_MS).then(() => expireLeases(app.deps))],
  ];

  test.each(ways)('by %s keeps its assignment and nothing of its claim', async (_name, giveBack) => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ online: true });
    const task = await workspace.task({ assigned_to: agent.name, concurrency_key: 'one' });
    const held = await agent.claimOne();
    await agent.start(held);
    await giveBack(workspace, agent, held);
    const row = await workspace.read(task);
    expect(row).toMatchObject({
      status: 'assigned',
      assigned_to: agent.name,
      claimed_by: null,
      claimed_by_agent_id: null,
      lease_expires_at: null,
      completed_at: null,
      resolution: null,
      attempts: 1,
    });
    expect((await workspace.agentRow(agent)).slots_used).toBe(0);
    const leases =
      await app.sql`select 1 from leases where task_id = ${task.id} or (workspace_id = ${workspace.id} and concurrency_key = 'one')`;
    expect(leases).toHaveLength(0);
    // The old epoch writes nothing any more, and its token opens nothing.
    await expect(agent.start(held)).rejects.toMatchObject({ code: 'lease_lost' });
    await expect(app.client(held.attempt_token).tasks.get({ params: { id: task.id } })).rejects.toMatchObject({
      status: 401,
    });
    await app.sql`update tasks set deferred_until = null where id = ${task.id}`;
    const again = await agent.claimOne();
    expect(again.epoch).toBeGreaterThan(held.epoch);
    expect(again).toMatchObject({ id: task.id, attempt: 2 });
  });
});
