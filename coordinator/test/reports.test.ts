// Longer than most: every report of an agent, its repeats and its races share their set-up.
import { type ClaimedTask, sleep, taskLimits } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import type { Held } from './lib/fleet.ts';

const app = await testApp();
const lost = { status: 409, code: 'lease_lost' };
const EXPIRED_MS = 121_000;
const pause = (ms: number) => sleep(ms, new AbortController().signal);
const undefer = () => app.sql`update tasks set deferred_until = null`;

/** A workspace with an agent that holds one task. */
const running = async (fields: Parameters<Awaited<ReturnType<typeof app.workspace>>['task']>[0] = {}, slots = 1) => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ slots });
  const task = await workspace.task(fields);
  return { workspace, agent, task, claimed: await agent.claimOne() };
};

describe('the same report again', () => {
  test('start: repeated, it changes nothing', async () => {
    const { workspace, agent, task, claimed } = await running();
    await agent.client.tasks.start({
      params: { id: task.id },
      body: { epoch: claimed.epoch, executor: 'claude', session_id: 's1' },
    });
    const first = await workspace.read(task);
    await agent.start(claimed);
    expect(await workspace.read(task)).toEqual(first);
    expect(await workspace.attempts(task)).toMatchObject([{ state: 'running', executor: 'claude', session_id: 's1' }]);
  });

  test('complete: answered as before, whatever came later; another body is late', async () => {
    const { workspace, agent, task, claimed } = await running();
    const report = { resolution: 'all sorted', log_sizes: { stdout: 3 } };
    expect(await agent.complete(claimed, report)).toEqual({ status: 'done' });
    const first = await workspace.read(task);
    expect(await agent.complete(claimed, report)).toEqual({ status: 'done' });
    expect(await workspace.read(task)).toEqual(first);
    await expect(agent.complete(claimed, { resolution: 'something else' })).rejects.toMatchObject(lost);
    await expect(agent.fail(claimed)).rejects.toMatchObject(lost);
    await expect(agent.start(claimed)).rejects.toMatchObject(lost);
    expect(await workspace.read(task)).toEqual(first);
    // Another attempt owns it now: the old report is still the accepted one of its attempt.
    await workspace.admin.tasks.retry({ params: { id: task.id } });
    const again = await agent.claimOne();
    expect(await agent.complete(claimed, report)).toEqual({ status: 'in_progress' });
    expect((await workspace.read(task)).epoch).toBe(again.epoch);
  });

  test('complete: 20 concurrent sends are one', async () => {
    const { workspace, agent, task, claimed } = await running();
    const answers = await Promise.all(Array.from({ length: 20 }, () => agent.complete(claimed)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set(['done']));
    expect((await workspace.read(task)).version).toBe(3);
  });

  test('of many agents at once: each gets its own answer, and its own usage', async () => {
    const fleets = await Promise.all(
      [1, 2].map(async (n) => {
        const workspace = await app.workspace();
        const agent = await workspace.agent({ slots: 12 });
        const tasks = await Promise.all(Array.from({ length: 12 }, () => workspace.task()));
        return { n, workspace, agent, tasks, claimed: await agent.claim(12) };
      }),
    );
    const [a, b] = fleets;
    const [stolen] = a?.claimed ?? [];
    if (a === undefined || b === undefined || stolen === undefined) throw new Error('no fleets');
    const usage = (n: number) => ({ seq: 1, mode: 'cumulative' as const, input_tokens: n, output_tokens: 0 });
    const reports = fleets.flatMap(({ n, agent, claimed }) =>
      claimed.map((held, index) =>
        agent.complete(held, {
          resolution: `${n}/${held.id}`,
          usage: usage(n * 100 + index),
          log_sizes: { stdout: index },
        }),
      ),
    );
    const strange = b.agent.complete(stolen).catch((error: unknown) => error);
    await Promise.all(reports);
    expect(await strange).toMatchObject({ status: 404, code: 'not_found' });
    for (const { n, workspace, claimed } of fleets) {
      for (const [index, { id }] of claimed.entries())
        expect(await workspace.read({ id })).toMatchObject({
          status: 'done',
          resolution: `${n}/${id}`,
          input_tokens: n * 100 + index,
          version: 3,
        });
    }
  });

  test('fail: counted once', async () => {
    const { workspace, agent, task, claimed } = await running();
    for (let sends = 0; sends < 3; sends++) expect(await agent.fail(claimed)).toEqual({ status: 'inbox' });
    expect(await workspace.read(task)).toMatchObject({
      dispatch_attempts: 1,
      failure: { kind: 'exit_code', message: 'it ended with 1' },
    });
  });

  test('unclaim: handing back twice is no mistake, and counts nothing', async () => {
    const { workspace, agent, task, claimed } = await running();
    for (let sends = 0; sends < 3; sends++) expect(await agent.unclaim(claimed)).toBeNull();
    expect(await workspace.read(task)).toMatchObject({
      status: 'inbox',
      dispatch_attempts: 0,
      stale_requeues: 0,
      attempts: 1,
      deferred_until: null,
    });
    expect(await workspace.attempts(task)).toMatchObject([{ state: 'released', failure: { kind: 'released' } }]);
    const again = await agent.claimOne();
    expect(await agent.unclaim(claimed)).toBeNull();
    expect(await agent.unclaim(again, { retry_after_s: 60 })).toBeNull();
    expect(await workspace.read(task)).toMatchObject({ waiting_for: { code: 'deferred' }, dispatch_attempts: 0 });
  });
});

describe('who may report', () => {
  test('nobody but the agent that holds it, and with its epoch', async () => {
    const { workspace, agent, task, claimed } = await running();
    const other = await workspace.agent();
    const foreign = await (await app.workspace()).agent();
    for (const stranger of [other, foreign]) {
      await expect(stranger.complete(claimed)).rejects.toMatchObject({ status: 404 });
      await expect(stranger.fail(claimed)).rejects.toMatchObject({ status: 404 });
      await expect(stranger.unclaim(claimed)).rejects.toMatchObject({ status: 404 });
      await expect(stranger.log(claimed, 0, 'x')).rejects.toMatchObject({ status: 404 });
      expect((await stranger.beat([claimed])).attempts).toMatchObject([{ verdict: 'lost' }]);
    }
    // Never given out: of another history, so lost.
    await expect(agent.complete({ id: task.id, epoch: claimed.epoch + 1 })).rejects.toMatchObject({
      code: 'lease_lost',
    });
    await expect(
      workspace.admin.tasks.complete({ params: { id: task.id }, body: { epoch: claimed.epoch, resolution: 'x' } }),
    ).rejects.toMatchObject({ status: 403 });
    expect((await workspace.read(task)).status).toBe('in_progress');
  });
});

describe('late results', () => {
  test('are welcome while nobody claimed the task since its lease ran out', async () => {
    const { workspace, agent, task, claimed } = await running();
    await app.shiftClock(EXPIRED_MS);
    expect(await app.expire()).toBeNull();
    expect(await workspace.read(task)).toMatchObject({ status: 'inbox', stale_requeues: 1, claimed_by: null });
    await expect(agent.start(claimed)).rejects.toMatchObject(lost);
    await expect(agent.fail(claimed)).rejects.toMatchObject(lost);
    expect(await agent.complete(claimed, { resolution: 'just in time' })).toEqual({ status: 'done' });
    expect(await workspace.read(task)).toMatchObject({ status: 'done', resolution: 'just in time', failure: null });
    expect(await workspace.attempts(task)).toMatchObject([{ state: 'completed' }]);
    expect(await agent.claim()).toEqual([]);
  });

  test('are welcome after an operator released the task, too, and from an agent that handed it back', async () => {
    const { workspace, agent, task, claimed } = await running();
    await workspace.admin.tasks.release({ params: { id: task.id } });
    expect(await agent.complete(claimed)).toEqual({ status: 'done' });
    const second = await workspace.task();
    const held = await agent.claimOne();
    await agent.unclaim(held);
    expect(await agent.complete(held)).toEqual({ status: 'done' });
    expect((await workspace.read(second)).status).toBe('done');
  });

  test('after another claim are kept as evidence and change nothing', async () => {
    const { workspace, agent, task, claimed } = await running();
    const other = await workspace.agent();
    await app.shiftClock(EXPIRED_MS);
    await app.expire();
    const again = await other.claimOne();
    const before = await workspace.read(task);
    await expect(agent.complete(claimed, { resolution: 'too late' })).rejects.toMatchObject({
      ...lost,
      details: { status: 'in_progress', epoch: again.epoch, attempt: 'lost' },
    });
    expect(await workspace.read(task)).toEqual(before);
    // The first late report is the evidence; a second one does not replace it.
    await expect(agent.fail(claimed)).rejects.toMatchObject(lost);
    const [newest, oldest] = await workspace.attempts(task);
    expect(newest).toMatchObject({ state: 'claimed', late_result: null, agent: other.name });
    expect(oldest).toMatchObject({ state: 'lost', late_result: { report: 'complete', resolution: 'too late' } });
    expect(await other.complete(again)).toEqual({ status: 'done' });
  });

  test('never wake a task that a person ended', async () => {
    const { workspace, agent, task, claimed } = await running();
    await app.shiftClock(EXPIRED_MS);
    await app.expire();
    await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
    await expect(agent.complete(claimed)).rejects.toMatchObject(lost);
    expect((await workspace.read(task)).status).toBe('cancelled');
  });
});

describe('failures', () => {
  test('that may be tried again wait with growing jittered back-off, the fifth fails the task', async () => {
    const { workspace, agent, task, claimed } = await running();
    app.deps.random = () => 1;
    try {
      let held: Held = claimed;
      const delays: number[] = [];
      for (let failures = 1; failures < taskLimits.dispatch_attempts; failures++) {
        expect(await agent.fail(held)).toEqual({ status: 'inbox' });
        const row = await workspace.read(task);
        expect(row.dispatch_attempts).toBe(failures);
        delays.push(Math.round((Date.parse(row.deferred_until ?? '') - Date.parse(row.updated_at)) / 1000));
        expect(await agent.claim()).toEqual([]);
        await undefer();
        held = await agent.claimOne();
      }
      expect(delays).toEqual([5, 10, 20, 40]);
      expect(await agent.fail(held)).toEqual({ status: 'failed' });
      expect(await workspace.read(task)).toMatchObject({
        status: 'failed',
        dispatch_attempts: 5,
        deferred_until: null,
        completed_at: expect.any(String) as string,
      });
    } finally {
      app.deps.random = Math.random;
    }
  });

  test('ask for a time: the back-off comes on top', async () => {
    const { workspace, agent, task, claimed } = await running();
    app.deps.random = () => 0;
    await agent
      .fail(claimed, { retry_after_s: 3600, kind: 'rate_limit' })
      .finally(() => (app.deps.random = Math.random));
    const row = await workspace.read(task);
    expect(Date.parse(row.deferred_until ?? '') - Date.parse(row.updated_at)).toBeGreaterThanOrEqual(3_599_000);
    expect(row.waiting_for?.code).toBe('deferred');
  });

  test('that are final fail the task and count nothing', async () => {
    const { workspace, agent, task, claimed } = await running();
    expect(await agent.fail(claimed, { retryable: false, kind: 'no_such_model' })).toEqual({ status: 'failed' });
    expect(await workspace.read(task)).toMatchObject({ dispatch_attempts: 0, failure: { kind: 'no_such_model' } });
  });

  test('by a cancel nobody asked for is an ordinary failure', async () => {
    const { workspace, agent, task, claimed } = await running();
    expect(await agent.fail(claimed, { kind: 'cancelled' })).toEqual({ status: 'inbox' });
    expect(await workspace.attempts(task)).toMatchObject([{ state: 'failed' }]);
  });

  test('end the task after the hard limit of attempts', async () => {
    const { workspace, agent, task, claimed } = await running();
    await app.sql`update tasks set attempts = ${taskLimits.attempts} where id = ${task.id}`;
    expect(await agent.fail(claimed)).toEqual({ status: 'failed' });
    expect(await workspace.read(task)).toMatchObject({ dispatch_attempts: 1 });
  });

  test('and returns that count nothing end it there, too', async () => {
    const { workspace, agent, task, claimed } = await running();
    let held: Held = claimed;
    for (let attempt = 1; attempt < taskLimits.attempts; attempt++) {
      await agent.unclaim(held);
      expect((await workspace.read(task)).status).toBe('inbox');
      held = await agent.claimOne();
    }
    await agent.unclaim(held);
    expect(await workspace.read(task)).toMatchObject({
      status: 'failed',
      dispatch_attempts: 0,
      failure: { kind: 'attempts', message: 'It was handed back. Given up: 25 attempts are the most a task gets.' },
    });
    // A person may still ask for more.
    await workspace.admin.tasks.retry({ params: { id: task.id } });
    expect(await agent.claimOne()).toMatchObject({ id: task.id, attempt: 26 });
  });

  test('return an assigned task to its agent', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ assigned_to: agent.name });
    expect(await agent.fail(await agent.claimOne())).toEqual({ status: 'assigned' });
    expect((await workspace.read(task)).assigned_to).toBe(agent.name);
  });
});

describe('races', () => {
  test('a result, an expiry and another claim: 300 times exactly one winner', async () => {
    const outcomes = { first: 0, second: 0 };
    for (let round = 0; round < 10; round++) {
      const workspace = await app.workspace();
      const first = await workspace.agent({ slots: 32 });
      const second = await workspace.agent({ slots: 32 });
      await Promise.all(Array.from({ length: 30 }, () => workspace.task()));
      const held = await first.claim(30);
      expect(held).toHaveLength(30);
      await app.shiftClock(EXPIRED_MS);
      // Spread over the time that expiring thirty of them takes, so that both orders happen.
      const open = new Set(held);
      const completions = held.map(async (task, index) => {
        await pause((index * 7) % 100);
        try {
          await first.complete(task);
          return true;
        } catch (error) {
          expect(error).toMatchObject(lost);
          return false;
        } finally {
          open.delete(task);
        }
      });
      const expiries = Array.from({ length: 3 }, () => app.expire());
      const claimAll = async () => {
        const got: ClaimedTask[] = [];
        while (open.size > 0) got.push(...(await second.claim(2)));
        return got;
      };
      const [won, , claimed] = await Promise.all([Promise.all(completions), Promise.all(expiries), claimAll()]);
      const taken = new Map(claimed.map((task) => [task.id, task]));
      const { tasks } = await workspace.admin.tasks.list({ query: { limit: 100 } });
      const histories = await Promise.all(held.map((task) => workspace.attempts(task)));
      for (const [index, task] of held.entries()) {
        const row = tasks.find(({ id }) => id === task.id);
        const attempts = histories[index];
        const again = taken.get(task.id);
        expect(won[index], `task ${task.id}`).toBe(again === undefined);
        if (again === undefined) {
          outcomes.first += 1;
          expect(row).toMatchObject({ status: 'done', epoch: task.epoch });
          expect(attempts).toMatchObject([{ state: 'completed', late_result: null }]);
        } else {
          outcomes.second += 1;
          expect(row).toMatchObject({ status: 'in_progress', epoch: again.epoch, claimed_by: second.name });
          expect(attempts).toMatchObject([
            { state: 'claimed' },
            { state: 'lost', late_result: { resolution: 'done' } },
          ]);
          await second.complete(again);
        }
      }
    }
    expect(outcomes.first + outcomes.second).toBe(300);
    expect(outcomes.first).toBeGreaterThan(0);
    expect(outcomes.second).toBeGreaterThan(0);
  }, 120_000);

  test('complete, fail, unclaim, cancel and release at once: one of them ends the attempt', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 32 });
    for (let round = 0; round < 20; round++) {
      const task = await workspace.task();
      const [held] = await agent.claim(1);
      if (held === undefined) throw new Error('nothing to claim');
      const params = { id: task.id };
      await Promise.allSettled([
        agent.complete(held),
        agent.fail(held, { retryable: false }),
        agent.unclaim(held),
        workspace.admin.tasks.cancel({ params, body: {} }),
        workspace.admin.tasks.release({ params }),
        agent.beat([held]),
      ]);
      const [attempt] = await workspace.attempts(task);
      expect(['completed', 'failed', 'released', 'lost', 'cancelled']).toContain(attempt?.state);
      const row = await workspace.read(task);
      if (row.status === 'inbox') await workspace.admin.tasks.cancel({ params, body: {} });
      expect((await workspace.agentRow(agent)).slots_used).toBe(0);
    }
  });
});

describe('usage', () => {
  const usage = (held: Held, seq: number, more: Record<string, unknown>) => ({
    params: { id: held.id },
    body: { epoch: held.epoch, seq, mode: 'cumulative' as const, input_tokens: 0, output_tokens: 0, ...more },
  });

  test('cumulative: the newest counts, in any order, once each', async () => {
    const { workspace, agent, task, claimed } = await running();
    const { tasks } = agent.client;
    await tasks.usage(usage(claimed, 1, { input_tokens: 10, output_tokens: 1 }));
    await tasks.usage(usage(claimed, 3, { input_tokens: 30, output_tokens: 3, cost_usd_micros: 900 }));
    await tasks.usage(usage(claimed, 2, { input_tokens: 20, output_tokens: 2 }));
    await tasks.usage(usage(claimed, 3, { input_tokens: 999, output_tokens: 999, cost_usd_micros: 1 }));
    expect(await workspace.read(task)).toMatchObject({ input_tokens: 30, output_tokens: 3, cost_usd_micros: 900 });
  });

  test('delta: all of them add up, once each; unknown price stays unpriced', async () => {
    const { workspace, agent, task, claimed } = await running();
    const { tasks } = agent.client;
    expect((await workspace.read(task)).cost_usd_micros).toBeNull();
    for (const seq of [1, 2, 2, 3, 1])
      await tasks.usage(usage(claimed, seq, { mode: 'delta', input_tokens: 10, output_tokens: 1 }));
    expect(await workspace.read(task)).toMatchObject({ input_tokens: 30, output_tokens: 3, cost_usd_micros: null });
    await tasks.usage(usage(claimed, 4, { mode: 'delta', cost_usd_micros: 0 }));
    expect((await workspace.read(task)).cost_usd_micros).toBe(0);
  });

  test('comes with the report as well, is welcome after the end, and sums over attempts', async () => {
    const { workspace, agent, task, claimed } = await running();
    const report = { seq: 1, mode: 'cumulative' as const, input_tokens: 5, output_tokens: 5, cost_usd_micros: 100 };
    await agent.client.tasks.fail({
      params: { id: task.id },
      body: { epoch: claimed.epoch, retryable: true, kind: 'x', message: 'x', usage: report },
    });
    await agent.client.tasks.usage(usage(claimed, 2, { input_tokens: 7, output_tokens: 7, cost_usd_micros: 150 }));
    await undefer();
    const again = await agent.claimOne();
    await agent.client.tasks.complete({
      params: { id: task.id },
      body: { epoch: again.epoch, resolution: 'ok', usage: report },
    });
    expect(await workspace.read(task)).toMatchObject({ input_tokens: 12, cost_usd_micros: 250 });
    expect((await workspace.attempts(task)).map(({ cost_usd_micros }) => cost_usd_micros)).toEqual([100, 150]);
  });
});
