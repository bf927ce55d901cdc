import { group } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { dueLoop, failLate, freeKeys } from '../src/tasks/expire/due.ts';
import { makeDeps, testApp } from './lib/app.ts';
import { until } from './lib/until.ts';
import { claimBatch } from '../src/tasks/claim/batch.ts';

const app = await testApp({ FLOTILLA_RESCAN_MS: '60000', FLOTILLA_SWEEP_MS: '60000' });
const hours = (count: number) => new Date(Date.now() + count * 3_600_000).toISOString();

describe('concurrency keys', () => {
  test('of one key one runs, in claim order; others and other workspaces pass it', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 10, online: true });
    const keyed = await workspace.tasks(3, { concurrency_key: 'deploy', priority: 'high' });
    const urgent = await workspace.task({ concurrency_key: 'deploy', priority: 'critical' });
    const free = await workspace.tasks(2);
    const claimed = await agent.claim(10);
    expect(claimed.map(({ id }) => id)).toEqual([urgent.id, ...free.map(({ id }) => id)]);
    const elsewhere = await app.workspace();
    const other = await elsewhere.agent({ online: true });
    await elsewhere.task({ concurrency_key: 'deploy' });
    expect(await other.claim()).toHaveLength(1);
    await freeKeys(app.deps);
    expect(await agent.claim(10)).toEqual([]);
    const [running] = claimed;
    if (running === undefined) throw new Error('claimed nothing');
    await agent.complete(running);
    await freeKeys(app.deps);
    expect((await agent.claim(10)).map(({ id }) => id)).toEqual([keyed[0]?.id]);
  });

  test('blocked heads, many of them, hold nobody else up', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 10, online: true });
    await workspace.tasks(20, { concurrency_key: 'big', priority: 'critical' });
    await agent.claimOne();
    const free = await workspace.task();
    const got: number[] = [];
    for (let look = 0; look < 5 && got.length === 0; look++) got.push(...(await agent.claim(1)).map(({ id }) => id));
    expect(got).toEqual([free.id]);
  });

  test('a limit of 3: concurrent claims of many coordinators never run a fourth', async () => {
    const workspace = await app.workspace();
    const agents = await Promise.all(Array.from({ length: 8 }, () => workspace.agent({ slots: 32, online: true })));
    await workspace.tasks(40, { concurrency_key: 'db', concurrency_limit: 3 });
    const others = await Promise.all([1, 2, 3].map(() => makeDeps(app.sql, {})));
    const coordinators = [app.deps, ...others];
    let done = 0;
    for (let round = 0; done < 40 && round < 200; round++) {
      await Promise.all(
        agents.map((agent, index) =>
          claimBatch(coordinators[index % 4] ?? app.deps, [{ agent_id: agent.id, slots: 4, claim_id: null }]),
        ),
      );
      const running = await app.sql<{ id: number; epoch: number; agent_id: number }[]>`
        select task_id as id, epoch, agent_id from leases where workspace_id = ${workspace.id}`;
      expect(running.length).toBeLessThanOrEqual(3);
      for (const held of running) {
        await agents.find(({ id }) => id === held.agent_id)?.complete(held);
        done += 1;
      }
      await freeKeys(app.deps);
    }
    expect(done).toBe(40);
  });

  test('the end of one starts the next at once, however it ends', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 2, online: true });
    const tasks = await workspace.tasks(4, { concurrency_key: 'one' });
    const first = await agent.claimOne();
    expect(await agent.claim(1)).toEqual([]);
    const stop = new AbortController();
    // Sweeps are a minute apart here: only the hint can be this fast.
    await group(
      {
        due: (signal) => dueLoop(app.deps, signal),
        test: async () => {
          try {
            let held = first;
            for (const end of [
              () => agent.complete(held),
              () => agent.fail(held, { retryable: false }),
              () => workspace.admin.tasks.release({ params: { id: held.id } }),
            ]) {
              const next = agent.claim(1, { wait_s: 20 });
              await until('it is parked', () => app.deps.desk.parked() === 1);
              await end();
              const [got] = await next;
              if (got === undefined) throw new Error('the next one did not start');
              held = got;
            }
          } finally {
            stop.abort();
          }
        },
      },
      stop.signal,
    ).catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    });
    expect((await Promise.all(tasks.map((task) => workspace.read(task)))).map(({ status }) => status)).toContain(
      'done',
    );
  });

  test('the next in line that nobody can take does not keep the key for ever', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 2, online: true });
    const away = await workspace.agent();
    await workspace.task({ concurrency_key: 'k' });
    const held = await agent.claimOne();
    const [stuck, next] = [
      await workspace.task({ concurrency_key: 'k' }),
      await workspace.task({ concurrency_key: 'k' }),
    ];
    expect(await agent.claim(1)).toEqual([]);
    await workspace.admin.tasks.assign({ params: { id: stuck.id }, body: { assigned_to: away.name } });
    await agent.complete(held);
    await freeKeys(app.deps);
    await freeKeys(app.deps);
    expect((await agent.claimOne()).id).toBe(next.id);
  });

  test('a new key frees a task at once; while it runs the key is fixed', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 3, online: true });
    const [, second] = await workspace.tasks(2, { concurrency_key: 'k' });
    const params = { id: second?.id ?? 0 };
    const held = await agent.claimOne();
    expect(await agent.claim(1)).toEqual([]);
    await expect(
      workspace.admin.tasks.patch({ params: { id: held.id }, body: { concurrency_key: null } }),
    ).rejects.toMatchObject({ code: 'task_running' });
    await workspace.admin.tasks.patch({ params, body: { concurrency_key: null } });
    expect((await agent.claimOne()).id).toBe(second?.id);
  });
});

describe('start by', () => {
  test('fails what was not started, with its reason; a retry forgets the time', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 3, online: true });
    const [started, waiting] = [
      await workspace.task({ start_by: hours(1) }),
      await workspace.task({ start_by: hours(1) }),
    ];
    const later = await workspace.task({ start_by: hours(5) });
    const held = await agent.claimOne();
    await agent.start(held);
    await failLate(app.deps);
    expect((await workspace.read(waiting)).status).toBe('inbox');
    await app.shiftClock(3_600_000);
    await agent.beat([held]);
    await failLate(app.deps);
    expect(await workspace.read(waiting)).toMatchObject({ status: 'failed', failure: { kind: 'start_by' } });
    expect((await workspace.read(started)).status).toBe('in_progress');
    expect((await workspace.read(later)).status).toBe('inbox');
    // It did start: what comes later is not about this.
    await agent.unclaim(held);
    await failLate(app.deps);
    expect((await workspace.read(started)).status).toBe('inbox');
    const again = await workspace.admin.tasks.retry({ params: { id: waiting.id } });
    expect(again).toMatchObject({ status: 'inbox', start_by: null });
    await failLate(app.deps);
    expect((await workspace.read(waiting)).status).toBe('inbox');
  });
});
