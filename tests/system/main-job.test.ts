import { describe, expect, it } from 'vitest';

import { openFleet } from '../lib/fleet.ts';
import { commands, expectedWork } from '../lib/ledger.ts';
import { processesOf, titleOf } from '../lib/processes.ts';
import { createRandom, pickSeed } from '../lib/random.ts';
import { until } from '../lib/until.ts';
import { addWork, expectDone, expectOnce, type Work } from '../lib/work.ts';

describe('main job', () => {
  it('3 agents run 30 tasks: each once, with its result, whole log and usage; everything stops cleanly', async (test) => {
    const random = createRandom(pickSeed('main job'));
    const fleet = await openFleet(test);
    for (const name of ['one', 'two', 'three'])
      await fleet.add({ name, slots: 3, command: commands.work(fleet.ledger) });

    const work: Work = new Map();
    for (let index = 0; index < 30; index++)
      await addWork(fleet, work, random.between(0, 60), random.pick(['0', '0.005', '0.02']));
    const tasks = await expectDone(fleet, work);

    expectOnce(fleet, tasks);
    for (const task of tasks) expect(task).toMatchObject(expectedWork(task.id, work.get(task.id) ?? -1).usage);
    const attempts = await Promise.all(tasks.map(({ id }) => fleet.client.tasks.attempts({ params: { id } })));
    // Shared out: no agent sat idle beside a full queue.
    expect(new Set(attempts.flatMap((page) => page.attempts.map(({ agent }) => agent))).size).toBe(3);
    await fleet.audit();

    for (const agent of fleet.agents) expect(await agent.stop()).toEqual({ code: 0, signal: null });
    expect(await fleet.coordinator.stop()).toEqual({ code: 0, signal: null });
    await until('nothing left running', () => processesOf(fleet.dir).length === 0, 5_000).catch(() => {
      expect(processesOf(fleet.dir).map(titleOf)).toEqual([]);
    });
  });

  it('a failing task is failed with its exit code, a temporary one is tried again until its limit', async (test) => {
    const fleet = await openFleet(test);
    await fleet.add({ name: 'one', slots: 2, command: commands.work(fleet.ledger) });
    const final = await fleet.createTask({ title: '2 0 3' });
    const temporary = await fleet.createTask({ title: '2 0 75' });
    const [failed, exhausted] = await fleet.ended([final.id, temporary.id]);
    expect(failed).toMatchObject({ status: 'failed', attempts: 1, failure: { kind: 'exit_code' } });
    expect(exhausted).toMatchObject({ status: 'failed', failure: { kind: 'exit_code' } });
    expect(fleet.ledger.starts(final.id)).toBe(1);
    expect(fleet.ledger.starts(temporary.id)).toBe(exhausted?.attempts);
    expect(exhausted?.attempts).toBeGreaterThan(1);
    const { attempts } = await fleet.client.tasks.attempts({ params: { id: final.id } });
    expect(attempts[0]).toMatchObject({ state: 'failed', exit_code: 3 });
    await fleet.audit();
  });

  it('R10: a cancelled task that ignores TERM and forks away is gone with all its children; its agent works on', async (test) => {
    const fleet = await openFleet(test);
    const agent = await fleet.add({ name: 'one', command: commands.stubborn(fleet.ledger) });
    const task = await fleet.createTask({ title: 'stay for ever' });
    const work = `${agent.state_dir}/work`;
    await until('the program and its two escaped children', () => {
      return fleet.ledger.starts(task.id) === 1 && processesOf(work).length >= 3;
    });
    expect(await fleet.client.tasks.cancel({ params: { id: task.id } })).toMatchObject({ status: 'in_progress' });
    const [ended] = await fleet.ended([task.id], 20_000);
    expect(ended).toMatchObject({ status: 'cancelled', attempts: 1 });
    expect(processesOf(work).map(titleOf)).toEqual([]);
    expect(agent.running()).toBe(true);
    await fleet.audit();
  });
});
