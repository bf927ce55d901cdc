import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { SHORT_LEASES } from '../lib/coordinator.ts';
import { type Fleet, openFleet } from '../lib/fleet.ts';
import { commands, expectedWork } from '../lib/ledger.ts';
import { processesOf, titleOf } from '../lib/processes.ts';
import { startProxy } from '../lib/proxy.ts';
import { until } from '../lib/until.ts';

/** One agent holds a task at a gate; a second one that would run it to its end at once waits beside it. */
const holdTask = async (fleet: Fleet, url: string) => {
  const gate = join(fleet.dir, 'gate');
  const slow = await fleet.add({ name: 'slow', url, command: commands.gate(fleet.ledger, gate) });
  const task = await fleet.createTask({ title: '3 0' });
  await until('the slow agent to run it', async () => {
    const { attempts } = await fleet.client.tasks.attempts({ params: { id: task.id } });
    return fleet.ledger.starts(task.id) === 1 && attempts[0]?.state === 'running';
  });
  await until('its first line', async () => (await fleet.log(task.id, 'stdout')).includes('waits'));
  await fleet.add({ name: 'quick', command: commands.work(fleet.ledger) });
  return { gate, slow, id: task.id };
};

const attemptsOf = async (fleet: Fleet, id: number) => (await fleet.client.tasks.attempts({ params: { id } })).attempts;

describe('R4: an attempt that lost its lease', () => {
  it('finishes behind a dead network: 409 lease_lost, the task unchanged, its report and both logs kept', async (test) => {
    const fleet = await openFleet(test, SHORT_LEASES);
    const proxy = await startProxy(fleet.coordinator.url);
    test.onTestFinished(() => proxy.close());
    const { gate, slow, id } = await holdTask(fleet, proxy.url);

    proxy.partition();
    const [done] = await fleet.ended([id], 30_000);
    const { resolution } = expectedWork(id, 3);
    expect(done).toMatchObject({ status: 'done', resolution, attempts: 2, stale_requeues: 1 });
    writeFileSync(gate, '');
    await until('the old one to finish', () => fleet.ledger.ends(id) === 2);
    const before = await fleet.task(id);
    proxy.heal();

    const old = await until('the late report', async () => {
      const [, first] = await attemptsOf(fleet, id);
      return first?.late_result === null ? null : first;
    });
    expect(old).toMatchObject({ state: 'lost', agent: 'slow' });
    expect(old.late_result).toMatchObject({ report: 'complete', resolution: `task ${id} waits\ntask ${id} goes on` });
    const refused = await until('the refusal', () =>
      proxy.exchanges.find(({ request, status }) => request.includes('/complete') && status === 409),
    );
    expect(JSON.parse(refused.answer)).toMatchObject({ code: 'lease_lost' });
    expect(await fleet.task(id)).toEqual(before);

    const [newest] = await attemptsOf(fleet, id);
    await until(
      'the old log',
      async () => (await fleet.log(id, 'stdout', old.id)) === `task ${id} waits\ntask ${id} goes on\n`,
    );
    expect(await fleet.log(id, 'stdout', newest?.id)).toBe(expectedWork(id, 3).stdout);
    await until('the slow agent to forget it', () => slow.attemptPids('shim.pid').length === 0);
    await fleet.audit();
  });

  it('wakes up from SIGSTOP while it still runs: its tree is killed, the other result stays', async (test) => {
    const fleet = await openFleet(test, SHORT_LEASES);
    const { slow, id } = await holdTask(fleet, fleet.coordinator.url);
    slow.signal('SIGSTOP');
    const [done] = await fleet.ended([id], 30_000);
    expect(done).toMatchObject({ status: 'done', attempts: 2, claimed_by: null });
    slow.signal('SIGCONT');
    await until('the tree to be gone', () => processesOf(`${slow.state_dir}/work`).length === 0).catch(() => {
      expect(processesOf(`${slow.state_dir}/work`).map(titleOf)).toEqual([]);
    });
    expect(fleet.ledger.ends(id)).toBe(1);
    expect(await fleet.task(id)).toEqual(done);
    const [newest, old] = await attemptsOf(fleet, id);
    expect([newest?.state, old?.state]).toEqual(['completed', 'lost']);
    expect(await fleet.log(id, 'stdout', old?.id)).toBe(`task ${id} waits\n`);
    // It is an agent like any other again.
    const next = await fleet.createTask({ title: 'at the gate', assigned_to: 'slow' });
    await until('its next task', () => fleet.ledger.starts(next.id) === 1);
    await fleet.audit();
  });

  it('a result that comes while nobody has claimed the task again is welcome', async (test) => {
    const fleet = await openFleet(test, SHORT_LEASES);
    const proxy = await startProxy(fleet.coordinator.url);
    test.onTestFinished(() => proxy.close());
    const gate = join(fleet.dir, 'gate');
    await fleet.add({ name: 'slow', url: proxy.url, command: commands.gate(fleet.ledger, gate) });
    const { id } = await fleet.createTask({ title: 'alone' });
    await until('it to run', () => fleet.ledger.starts(id) === 1);
    proxy.partition();
    await until('the requeue', async () => (await fleet.task(id)).status === 'inbox');
    writeFileSync(gate, '');
    await until('it to finish', () => fleet.ledger.ends(id) === 1);
    // Not a claim before the report: that would be a second execution.
    proxy.set([
      { match: /\/tasks\/claim/, fault: { kind: 'drop_before' } },
      { match: /\/heartbeat/, fault: { kind: 'drop_before' } },
    ]);
    const [done] = await fleet.ended([id], 30_000);
    expect(done).toMatchObject({ status: 'done', attempts: 1, stale_requeues: 1 });
    expect(fleet.ledger.starts(id)).toBe(1);
    await fleet.audit();
  });
});
