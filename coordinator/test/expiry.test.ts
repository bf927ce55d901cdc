// Longer than most: leases, holds and the three guards share one service row.
import { taskLimits } from '@flotilla/shared';
import { beforeEach, describe, expect, test } from 'vitest';

import { markAlive, noticeClockStep } from '../src/tasks/expire/guards.ts';
import { expirySuspended } from '../src/tasks/expire/suspension.ts';
import { expireLoop } from '../src/tasks/expire/loop.ts';
import { testApp } from './lib/app.ts';
import type { TestAgent } from './lib/fleet.ts';
import { during, until } from './lib/until.ts';

const app = await testApp({ FLOTILLA_SWEEP_MS: '5' });
const LEASE_MS = 90_000;
const GRACE_MS = 30_000;
const HOUR_MS = 3_600_000;

// Guards look at all agents and at one row: each test starts from a service that was never disturbed.
beforeEach(async () => {
  await app.sql`delete from agent_beats`;
  await app.sql`update service set alive_at = clock_timestamp(), expiry_suspended_until = null, suspended_reason = null,
    mass_silence_since = null, mass_silence_released_at = null`;
});

const running = async (fields: Parameters<Awaited<ReturnType<typeof app.workspace>>['task']>[0] = {}) => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const task = await workspace.task(fields);
  return { workspace, agent, task, held: await agent.claimOne() };
};

describe('a lease', () => {
  const countFuture = async () => (await app.deps.metrics.future_epochs.get()).values[0]?.value ?? 0;

  test('runs out after its time and the grace; the task returns to the queue', async () => {
    const { workspace, agent, task, held } = await running();
    await app.shiftClock(LEASE_MS + GRACE_MS - 5_000);
    await app.expire();
    expect((await workspace.read(task)).status).toBe('in_progress');
    await app.shiftClock(6_000);
    await app.expire();
    expect(await workspace.read(task)).toMatchObject({
      status: 'inbox',
      stale_requeues: 1,
      dispatch_attempts: 0,
      claimed_by: null,
      lease_expires_at: null,
      failure: { kind: 'host_lost' },
      epoch: held.epoch,
    });
    expect(await workspace.attempts(task)).toMatchObject([{ state: 'lost' }]);
    expect((await workspace.agentRow(agent)).slots_used).toBe(0);
    const again = await agent.claimOne();
    expect(again).toMatchObject({ id: task.id, attempt: 2 });
    expect(again.epoch).toBeGreaterThan(held.epoch);
  });

  test('is renewed by a beat that names it, and by nothing else', async () => {
    const { workspace, agent, task, held } = await running();
    for (let beats = 0; beats < 5; beats++) {
      await app.shiftClock(80_000);
      expect((await agent.beat([held])).attempts).toMatchObject([{ verdict: 'renewed' }]);
      await app.expire();
    }
    expect((await workspace.read(task)).status).toBe('in_progress');
    // Being left out of a beat is no order; it only is not renewed.
    await app.shiftClock(80_000);
    await agent.beat([]);
    await app.shiftClock(70_000);
    await app.expire();
    expect((await workspace.read(task)).status).toBe('inbox');
  });

  test('a beat after it ran out is told lost, and does not bring it back', async () => {
    const { workspace, agent, task, held } = await running();
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.expire();
    expect((await agent.beat([held])).attempts).toEqual([
      { task_id: task.id, epoch: held.epoch, verdict: 'lost', lease_ms: null },
    ]);
    expect((await workspace.read(task)).status).toBe('inbox');
    expect((await agent.beat([{ id: task.id, epoch: held.epoch + 1_000_000 }])).attempts).toMatchObject([
      { verdict: 'lost' },
    ]);
  });

  test('of an epoch that was never given out is lost everywhere, and an alert', async () => {
    const { agent, task } = await running();
    const before = await countFuture();
    const [row] = await app.sql<{ last: number }[]>`select last_value as last from epochs`;
    const future = { id: task.id, epoch: (row?.last ?? 0) + 1 };
    expect((await agent.beat([future])).attempts).toMatchObject([{ verdict: 'lost' }]);
    expect(await countFuture()).toBe(before + 1);
    for (const call of [
      () => agent.start(future),
      () => agent.complete(future),
      () => agent.fail(future),
      () => agent.log(future, 0, 'x'),
    ])
      await expect(call()).rejects.toMatchObject({ status: 409, code: 'lease_lost' });
    const events = await app.sql`select 1 from events where type = 'agent.future_epochs' and entity_id = ${agent.id}`;
    expect(events).toHaveLength(1);
    // The newest that was given out, of another task: unknown, but nothing to alert about.
    await expect(agent.start({ id: task.id + 1, epoch: row?.last ?? 0 })).rejects.toMatchObject({ status: 404 });
    expect(await countFuture()).toBe(before + 5);
  });

  test('of an epoch that only a lost history knows is lost, too, so that its host forgets it; no alert', async () => {
    const { workspace, agent, task } = await running();
    const before = await countFuture();
    // As after a restore: the sequence is beyond it, and there is no attempt of it.
    const [lost] = await app.sql<{ epoch: number }[]>`select nextval('epochs') as epoch`;
    for (const id of [task.id, task.id + 1_000_000]) {
      const held = { id, epoch: lost?.epoch ?? 0 };
      expect((await agent.beat([held])).attempts).toMatchObject([{ verdict: 'lost' }]);
      for (const call of [
        () => agent.start(held),
        () => agent.complete(held),
        () => agent.fail(held),
        () => agent.unclaim(held),
      ])
        await expect(call()).rejects.toMatchObject({ status: 409, code: 'lease_lost' });
    }
    expect(await countFuture()).toBe(before);
    expect((await workspace.read(task)).status).toBe('in_progress');
  });

  test('is never renewed beyond timeout_s and the kill grace', async () => {
    const { workspace, agent, task, held } = await running({ timeout_s: 60 });
    // 60 s timeout + 60 s kill grace + the lease itself.
    for (let elapsed = 0; elapsed < 200_000; elapsed += 50_000) {
      await app.shiftClock(50_000);
      await agent.beat([held]);
    }
    expect((await agent.beat([held])).attempts[0]?.lease_ms).toBeLessThanOrEqual(10_000);
    await app.shiftClock(45_000);
    await agent.beat([held]);
    await app.expire();
    expect((await workspace.read(task)).status).toBe('inbox');
  });

  test('that runs out a fifth time fails the task, and says so', async () => {
    const { workspace, agent, task, held } = await running();
    let last = held;
    for (let expiries = 1; expiries < taskLimits.stale_requeues; expiries++) {
      await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
      await app.expire();
      const message = `${agent.name} fell silent and its lease (epoch ${last.epoch}) ran out. Loss ${expiries} of at most 5: queued again.`;
      const failure = { kind: 'host_lost', message };
      expect(await workspace.read(task)).toMatchObject({ status: 'inbox', stale_requeues: expiries, failure });
      // The task's timeline shows the same.
      expect((await workspace.attempts(task))[0]).toMatchObject({ state: 'lost', failure });
      last = await agent.claimOne();
    }
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.expire();
    expect(await workspace.read(task)).toMatchObject({
      status: 'failed',
      stale_requeues: 5,
      failure: {
        kind: 'host_lost',
        message: `${agent.name} fell silent and its lease (epoch ${last.epoch}) ran out. Loss 5 of at most 5. Given up: 5 of 5 tries are used up (stale_requeues).`,
      },
      completed_at: expect.any(String) as string,
    });
  });

  test('of a cancelled task ends it', async () => {
    const { workspace, task } = await running();
    await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.expire();
    expect(await workspace.read(task)).toMatchObject({
      status: 'cancelled',
      completed_at: expect.any(String) as string,
    });
    expect(await workspace.attempts(task)).toMatchObject([{ state: 'lost' }]);
  });

  test('of 250 tasks run out together in one pass, by the loop itself', async () => {
    const workspace = await app.workspace();
    const agents = await Promise.all(Array.from({ length: 10 }, () => workspace.agent({ slots: 25 })));
    await Promise.all(Array.from({ length: 250 }, () => workspace.task()));
    for (const agent of agents) expect(await agent.claim(25)).toHaveLength(25);
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.sql`update service set alive_at = clock_timestamp()`;
    await during(
      (signal) => expireLoop(app.deps, signal),
      () => until('all are back', async () => (await workspace.admin.workspaces.status()).tasks.inbox === 250),
    );
  });
});

describe('on_host_loss: hold', () => {
  test('waits for the host, whose beat takes it back', async () => {
    const { workspace, agent, task, held } = await running({ on_host_loss: 'hold', timeout_s: 86_400 });
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.expire();
    await app.shiftClock(5 * HOUR_MS);
    await app.expire();
    expect(await workspace.read(task)).toMatchObject({ status: 'in_progress', epoch: held.epoch });
    expect((await agent.beat([held])).attempts).toMatchObject([{ verdict: 'renewed' }]);
    await app.expire();
    expect(await agent.complete(held)).toEqual({ status: 'done' });
  });

  test('fails after its time', async () => {
    const { workspace, task } = await running({ on_host_loss: 'hold' });
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.expire();
    await app.shiftClock(24 * HOUR_MS + 1_000);
    await app.expire();
    expect(await workspace.read(task)).toMatchObject({ status: 'failed', failure: { kind: 'host_lost' } });
  });

  test('released by an operator it fails, and runs again only when somebody retries it', async () => {
    const { workspace, agent, task, held } = await running({ on_host_loss: 'hold' });
    const other = await workspace.agent();
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.expire();
    const failure = {
      kind: 'host_lost',
      message: `${agent.name} fell silent and its lease (epoch ${held.epoch}) ran out. An operator ended the wait for it (on_host_loss: hold).`,
    };
    const params = { id: task.id };
    expect(await workspace.admin.tasks.release({ params })).toMatchObject({
      status: 'failed',
      failure,
      claimed_by: null,
      stale_requeues: 1,
      completed_at: expect.any(String) as string,
    });
    expect(await workspace.attempts(task)).toMatchObject([{ state: 'lost', failure }]);
    expect(await other.claim()).toEqual([]);
    // The host was not dead after all: it is told, and its result is kept as evidence.
    expect((await agent.beat([held])).attempts).toMatchObject([{ verdict: 'lost' }]);
    await expect(agent.complete(held)).rejects.toMatchObject({ status: 409, code: 'lease_lost' });
    expect((await workspace.attempts(task))[0]?.late_result).toMatchObject({ report: 'complete' });
    const audit =
      await app.sql`select details from audit_events where action = 'task.release' and entity_id = ${task.id}`;
    expect(audit).toEqual([{ details: { epoch: held.epoch, was: 'in_progress', status: 'failed' } }]);
    expect(await workspace.admin.tasks.retry({ params })).toMatchObject({ status: 'inbox', failure: null });
    expect(await other.complete(await other.claimOne())).toEqual({ status: 'done' });
  });

  test('not held, or held no more since a beat, it is released into the queue as any task', async () => {
    const { workspace, agent, task, held } = await running({ on_host_loss: 'hold' });
    const params = { id: task.id };
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.expire();
    await agent.beat([held]);
    const taken = { status: 'inbox', failure: null, stale_requeues: 0 };
    expect(await workspace.admin.tasks.release({ params })).toMatchObject(taken);
    await agent.claimOne();
    expect(await workspace.admin.tasks.release({ params })).toMatchObject(taken);
  });

  test('a beat and a release at once: held no more and queued, or failed and lost', async () => {
    for (let round = 0; round < 10; round++) {
      const { workspace, agent, task, held } = await running({ on_host_loss: 'hold' });
      await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
      await app.expire();
      const [beat, released] = await Promise.all([
        agent.beat([held]),
        workspace.admin.tasks.release({ params: { id: task.id } }),
      ]);
      expect([
        ['renewed', 'inbox'],
        ['lost', 'failed'],
      ]).toContainEqual([beat.attempts[0]?.verdict, released.status]);
    }
  });

  test('released while it is to be cancelled it is cancelled', async () => {
    const { workspace, task } = await running({ on_host_loss: 'hold' });
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.expire();
    await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
    expect(await workspace.admin.tasks.release({ params: { id: task.id } })).toMatchObject({ status: 'cancelled' });
  });

  test('is cancelled without waiting for the host', async () => {
    const { workspace, task } = await running({ on_host_loss: 'hold' });
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.expire();
    await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
    await app.expire();
    expect((await workspace.read(task)).status).toBe('cancelled');
  });
});

describe('a gap in service', () => {
  const restartAfter = (gap_ms: number) =>
    app.sql`update service set alive_at = clock_timestamp() - ${gap_ms} * interval '1 ms'`.then(() =>
      markAlive(app.deps),
    );
  const suspendedFor = async () => {
    const [row] = await app.sql<{ ms: number | null }[]>`
      select (extract(epoch from expiry_suspended_until - flotilla_now()) * 1000)::float8 as ms from service`;
    return row?.ms ?? null;
  };

  test('suspends expiry for half its length, within bounds', async () => {
    for (const [gap_ms, expected] of [
      [15_000, null],
      [30_000, 60_000],
      [200_000, 100_000],
      [HOUR_MS, 300_000],
    ] as const) {
      await app.sql`update service set expiry_suspended_until = null, suspended_reason = null`;
      await restartAfter(gap_ms);
      const ms = await suspendedFor();
      if (expected === null) expect(ms).toBeNull();
      else {
        expect(ms, `gap ${gap_ms}`).toBeGreaterThan(expected - 5_000);
        expect(ms, `gap ${gap_ms}`).toBeLessThan(expected + 5_000);
      }
    }
  });

  test('takes no lease; agents that come back keep theirs, the others lose them afterwards', async () => {
    const { workspace, agent, task, held } = await running();
    const silent = await workspace.agent();
    const other = await workspace.task();
    await silent.claimOne();
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await restartAfter(120_000);
    expect(await app.expire()).toBe('gap in service');
    expect((await workspace.read(task)).status).toBe('in_progress');
    const answer = await agent.beat([held]);
    expect(answer.attempts).toMatchObject([{ verdict: 'renewed' }]);
    // Each returning agent gets its own delay, inside the time that expiry waits.
    expect(answer.timings.reconnect_delay_ms).toBeLessThanOrEqual(60_000);
    await app.shiftClock(61_000);
    expect(await app.expire()).toBeNull();
    expect((await workspace.read(task)).status).toBe('in_progress');
    expect((await workspace.read(other)).status).toBe('inbox');
    expect((await agent.beat([held])).timings.reconnect_delay_ms).toBe(0);
  });

  test('that still lasts suspends, too: nobody says that a coordinator lives', async () => {
    const { workspace, task } = await running();
    await app.shiftClock(LEASE_MS + GRACE_MS + 1_000);
    await app.sql`update service set alive_at = clock_timestamp() - interval '21 s'`;
    expect(await expirySuspended(app.deps)).toBe('gap in service');
    expect((await workspace.read(task)).status).toBe('in_progress');
  });
});

describe('a step of the wall clock', () => {
  test.each([60_000, -60_000])('by %i ms suspends expiry for one lease', async (step_ms) => {
    const { workspace, task } = await running();
    const reading = await noticeClockStep(app.deps, null);
    await noticeClockStep(app.deps, reading);
    expect(await app.expire()).toBeNull();
    // The database's clock is step_ms ahead of where the earlier reading says it should be.
    await noticeClockStep(app.deps, { ...reading, wall_ms: reading.wall_ms - step_ms });
    await app.shiftClock(LEASE_MS - 1_000);
    expect(await app.expire()).toBe('clock step');
    await app.shiftClock(GRACE_MS + 2_000);
    expect(await app.expire()).toBeNull();
    expect((await workspace.read(task)).status).toBe('inbox');
  });
});

describe('mass silence', () => {
  /** `silent` of `count` agents stop beating while all hold a task; the rest beat on. */
  const silence = async (count: number, silent: number) => {
    const workspace = await app.workspace();
    const agents = await Promise.all(Array.from({ length: count }, () => workspace.agent({ online: true })));
    await workspace.tasks(count);
    const held = await Promise.all(agents.map((agent) => agent.claimOne()));
    const beatOn = () =>
      Promise.all(
        agents.slice(silent).map((agent: TestAgent, index) => agent.beat(held.slice(silent).slice(index, index + 1))),
      );
    const requeued = async () => (await workspace.admin.workspaces.status()).tasks.inbox ?? 0;
    for (let elapsed = 0; elapsed < 121_000; elapsed += 40_500) {
      await app.shiftClock(40_500);
      await beatOn();
      await app.expire();
    }
    return { agents, held, beatOn, requeued };
  };

  test.each([
    [4, 2],
    [4, 4],
    [10, 5],
  ])('of %i agents %i: nothing is requeued until it was long enough', async (count, silent) => {
    const { beatOn, requeued } = await silence(count, silent);
    expect(await app.expire()).toBe('mass silence');
    expect(await requeued()).toBe(0);
    for (let minutes = 0; minutes < 14; minutes++) {
      await app.shiftClock(60_000);
      await beatOn();
    }
    expect(await app.expire()).toBe('mass silence');
    expect(await requeued()).toBe(0);
    await app.shiftClock(60_000);
    await beatOn();
    expect(await app.expire()).toBeNull();
    expect(await requeued()).toBe(silent);
  });

  test.each([
    [1, 1],
    [3, 2],
    [3, 3],
    [10, 1],
    [10, 4],
  ])('of %i agents %i: requeued as usual', async (count, silent) => {
    const { beatOn, requeued } = await silence(count, silent);
    await beatOn();
    expect(await app.expire()).toBeNull();
    expect(await requeued()).toBe(silent);
  });

  test('ends when they come back, and none lost its task', async () => {
    const { agents, held, requeued } = await silence(4, 3);
    expect(await app.expire()).toBe('mass silence');
    for (const [index, agent] of agents.entries()) {
      expect((await agent.beat(held.slice(index, index + 1))).attempts).toMatchObject([{ verdict: 'renewed' }]);
    }
    expect(await requeued()).toBe(0);
    await app.shiftClock(15 * 60_000);
    for (const [index, agent] of agents.entries()) await agent.beat(held.slice(index, index + 1));
    expect(await app.expire()).toBeNull();
    expect(await requeued()).toBe(0);
    // The episode is closed: the next one is noticed again.
    const [row] = await app.sql<{ since: string | null }[]>`select mass_silence_since as since from service`;
    expect(row?.since).toBeNull();
  });

  test('is over when an operator says so', async () => {
    const { beatOn, requeued } = await silence(4, 2);
    expect(await app.expire()).toBe('mass silence');
    const tenant = await app.workspace();
    await expect(tenant.admin.expiry.release({ body: { reason: 'not mine' } })).rejects.toMatchObject({ status: 403 });
    const { suspended, silent } = await tenant.admin.expiry.get();
    expect({ ...suspended, silent }).toMatchObject({ reason: 'mass silence', silent: 2 });
    expect((await app.admin.expiry.release({ body: { reason: 'the rack burned' } })).suspended).toBeNull();
    await beatOn();
    expect(await app.expire()).toBeNull();
    expect(await requeued()).toBe(2);
  });

  test('is one alert: a count, and one event in each workspace it hits', async () => {
    const count = async () => (await app.deps.metrics.mass_silences.get()).values[0]?.value ?? 0;
    const before = await count();
    const { beatOn, agents } = await silence(4, 2);
    for (let pass = 0; pass < 5; pass++) {
      await app.shiftClock(1_000);
      await beatOn();
      expect(await Promise.all([app.expire(), app.expire()])).toEqual(['mass silence', 'mass silence']);
    }
    expect(await count()).toBe(before + 1);
    await app.sequence();
    const events = await app.sql<{ summary: unknown }[]>`
      select summary from events where type = 'fleet.mass_silence' and workspace_id = (
        select workspace_id from agents where id = ${agents[0]?.id ?? 0})`;
    expect(events).toEqual([{ summary: { silent: 2, counted: 4 } }]);
    await app.shiftClock(16 * 60_000);
    await beatOn();
    await app.expire();
    await expect(app.admin.expiry.release({ body: { reason: 'late' } })).rejects.toMatchObject({
      code: 'invalid_transition',
    });
  });

  test('does not count poll-only, disabled, detached and long lost agents', async () => {
    const workspace = await app.workspace();
    const gone = await workspace.agent({ online: true });
    await app.shiftClock(11 * 60_000);
    const [one, two, disabled, detached] = await Promise.all(
      Array.from({ length: 4 }, () => workspace.agent({ online: true })),
    );
    await workspace.admin.agents.patch({ params: { id: disabled?.id ?? 0 }, body: { disabled: true } });
    await detached?.beat([], { state: 'detached' });
    const poll = await workspace.pollAgent();
    await poll.beat();
    await workspace.task();
    await one?.claimOne();
    for (let elapsed = 0; elapsed < 121_000; elapsed += 40_500) {
      await app.shiftClock(40_500);
      await two?.beat();
    }
    expect(await app.expire()).toBeNull();
    expect((await workspace.admin.workspaces.status()).tasks.inbox).toBe(1);
    expect((await workspace.agentRow(gone)).status).toBe('offline');
  });
});
