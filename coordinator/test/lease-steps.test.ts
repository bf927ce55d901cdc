import { describe, expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import type { TestAgent } from './lib/fleet.ts';

const app = await testApp();
const LEASE_MS = 90_000;
const GRACE_MS = 30_000;
/** Longer than any test here takes. */
const SLACK_MS = 5_000;

type Held = { id: number; epoch: number };

/** The row as it is stored: `version` is another one whenever somebody wrote it. */
const leaseOf = async ({ id }: { id: number }) => {
  const [row] = await app.sql<{ version: string; phase: string; left_ms: number; renewable_ms: number }[]>`
    select xmin::text as version, phase, (extract(epoch from expires_at - flotilla_now()) * 1000)::bigint as left_ms,
      (extract(epoch from renewable_until - flotilla_now()) * 1000)::bigint as renewable_ms
    from leases where task_id = ${id}`;
  if (row === undefined) throw new Error(`task ${id} has no lease`);
  return row;
};

const running = async (count = 1, fields = {}) => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ slots: count });
  await workspace.tasks(count, fields);
  const held: Held[] = await agent.claim(count);
  return { workspace, agent, held };
};

const beatOf = async (agent: TestAgent, task: Held, phase: 'running' | 'reporting' = 'running') => {
  const answer = await agent.beat([], { attempts: [{ task_id: task.id, epoch: task.epoch, phase }] });
  return answer.attempts[0];
};

describe('beats renew a lease in steps', () => {
  test('each third one writes, and after each of them the promised lease is left', async () => {
    const { agent, held } = await running();
    const [task] = held as [Held];
    const versions: string[] = [];
    for (let beats = 0; beats < 12; beats++) {
      const verdict = await beatOf(agent, task);
      const { left_ms, version } = await leaseOf(task);
      versions.push(version);
      expect(verdict).toMatchObject({ verdict: 'renewed' });
      expect(left_ms).toBeGreaterThanOrEqual(LEASE_MS - SLACK_MS);
      // Told is the promise alone: a host fences by it.
      expect(verdict?.lease_ms).toBe(LEASE_MS);
      await app.shiftClock(10_000);
    }
    expect(new Set(versions).size).toBe(4);
  });

  test('a second beat at once writes nothing, unless its phase is a new one', async () => {
    const { agent, held } = await running();
    const [task] = held as [Held];
    await beatOf(agent, task);
    const before = await leaseOf(task);
    await beatOf(agent, task);
    expect((await leaseOf(task)).version).toBe(before.version);
    await beatOf(agent, task, 'reporting');
    expect(await leaseOf(task)).toMatchObject({ phase: 'reporting' });
  });

  test('of the attempts in one beat only those are written that are due', async () => {
    const { agent, held } = await running(2);
    const [first, second] = held as [Held, Held];
    await agent.beat([first]);
    await app.shiftClock(1_000);
    const [before, other] = [await leaseOf(first), await leaseOf(second)];
    expect((await agent.beat([first, second])).attempts.map(({ verdict }) => verdict)).toEqual(['renewed', 'renewed']);
    expect((await leaseOf(first)).version).toBe(before.version);
    expect((await leaseOf(second)).version).not.toBe(other.version);
  });

  test('never beyond its end, and there no more at all', async () => {
    const { agent, held } = await running(1, { timeout_s: 1 });
    const [task] = held as [Held];
    await app.shiftClock(50_000);
    const verdict = await beatOf(agent, task);
    const { version, left_ms, renewable_ms } = await leaseOf(task);
    expect(left_ms).toBe(renewable_ms);
    expect(verdict?.lease_ms).toBeLessThanOrEqual(101_000);
    await app.shiftClock(30_000);
    expect(await beatOf(agent, task)).toMatchObject({ verdict: 'renewed' });
    expect((await leaseOf(task)).version).toBe(version);
  });

  test('a host that falls silent right after one loses its task within 30 s after lease and grace', async () => {
    const { workspace, agent, held } = await running();
    const [task] = held as [Held];
    await beatOf(agent, task);
    await app.shiftClock(LEASE_MS + GRACE_MS);
    await app.expire();
    expect((await workspace.read(task)).status).toBe('in_progress');
    await app.shiftClock(30_000 - SLACK_MS);
    await app.expire();
    expect((await workspace.read(task)).status).toBe('inbox');
    expect(await beatOf(agent, task)).toMatchObject({ verdict: 'lost', lease_ms: null });
  });
});

describe('what is not held is lost, due or not', () => {
  test('the attempt of another agent, and a task with the epoch of another one', async () => {
    const { workspace, agent, held } = await running(2);
    const [first, second] = held as [Held, Held];
    const stranger = await workspace.agent();
    for (const due of [true, false]) {
      expect((await stranger.beat([first])).attempts).toMatchObject([{ verdict: 'lost' }]);
      const mixed = { id: first.id, epoch: second.epoch };
      expect((await agent.beat([mixed, second])).attempts).toMatchObject([{ verdict: 'lost' }, { verdict: 'renewed' }]);
      expect((await leaseOf(first)).phase).toBe(due ? 'claimed' : 'running');
      await agent.beat([first]);
    }
  });

  test('one that is named twice is held twice; a cancel is told by a beat that writes and by one that does not', async () => {
    const { workspace, agent, held } = await running();
    const [task] = held as [Held];
    expect((await agent.beat([task, task])).attempts).toMatchObject([{ verdict: 'renewed' }, { verdict: 'renewed' }]);
    await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
    expect((await agent.beat([task])).attempts).toMatchObject([{ verdict: 'cancel' }]);
    await app.shiftClock(40_000);
    const { attempts } = await agent.beat([task]);
    expect(attempts).toMatchObject([{ verdict: 'cancel' }]);
    expect(attempts[0]?.lease_ms).toBeGreaterThanOrEqual(LEASE_MS);
  });
});
