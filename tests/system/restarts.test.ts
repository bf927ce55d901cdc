import { describe, expect, it } from 'vitest';

import { type Agentd } from '../lib/agentd.ts';
import { type Fleet, openFleet } from '../lib/fleet.ts';
import { commands } from '../lib/ledger.ts';
import { createRandom, isLong, pickSeed, type Random } from '../lib/random.ts';
import { elapse, until } from '../lib/until.ts';
import { addWork, expectDone, expectOnce, type Work } from '../lib/work.ts';

const RESTARTS = isLong ? 50 : 8;
/** When a task of 4 lines with 20 ms between them ends after its start, and how far around it the signal comes. */
const TASK_MS = 110;

/** One task at a time on this agent, and SIGTERM about when it ends. */
const restartAtTheEnd = async (fleet: Fleet, agent: Agentd, work: Work, random: Random): Promise<void> => {
  for (let turn = 0; turn < RESTARTS; turn++) {
    const task = await addWork(fleet, work, 4, '0.02', { assigned_to: agent.name });
    await until(`task ${task.id} to begin`, () => fleet.ledger.starts(task.id) > 0);
    await elapse(random.between(0, 2 * TASK_MS));
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
    await agent.start();
  }
};

describe('R5: a task ends in the instant of SIGTERM', () => {
  it('24 restarts at random offsets lose no result', async (test) => {
    const seed = pickSeed('R5');
    const fleet = await openFleet(test);
    const work: Work = new Map();
    await Promise.all(
      ['one', 'two', 'three'].map(async (name, index) => {
        const agent = await fleet.add({ name, slots: 2, command: commands.work(fleet.ledger) });
        await restartAtTheEnd(fleet, agent, work, createRandom(seed + index));
      }),
    );
    const tasks = await expectDone(fleet, work);
    expect(tasks).toHaveLength(3 * RESTARTS);
    expectOnce(fleet, tasks);
    await fleet.audit();
  });

  it('R9: agentd restarted 6 times, then killed 4 times, under 4 running tasks: none of them notices', async (test) => {
    const fleet = await openFleet(test);
    const agent = await fleet.add({ name: 'one', slots: 4, command: commands.work(fleet.ledger) });
    const work: Work = new Map();
    for (let index = 0; index < 4; index++) await addWork(fleet, work, 120, '0.05');
    await until('all to run', () => [...work.keys()].every((id) => fleet.ledger.starts(id) === 1));
    const pids = agent.attemptPids('child.pid').toSorted((a, b) => a - b);
    expect(pids).toHaveLength(4);
    for (let turn = 0; turn < 10; turn++) {
      if (turn < 6) expect(await agent.stop()).toEqual({ code: 0, signal: null });
      else await agent.kill();
      await agent.start();
      // The same processes, unless one has come to its end meanwhile.
      if (fleet.ledger.ends([...work.keys()][0] ?? 0) === 0)
        expect(agent.attemptPids('child.pid').toSorted((a, b) => a - b)).toEqual(pids);
    }
    expectOnce(fleet, await expectDone(fleet, work));
    await fleet.audit();
  });
});
