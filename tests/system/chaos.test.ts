import { describe, expect, it } from 'vitest';

import type { Agentd } from '../lib/agentd.ts';
import { type Fleet, openFleet } from '../lib/fleet.ts';
import { commands } from '../lib/ledger.ts';
import { processesOf, signal, titleOf } from '../lib/processes.ts';
import { createRandom, isLong, pickSeed, type Random } from '../lib/random.ts';
import { elapse, until } from '../lib/until.ts';
import { addWork, expectDone, type Work } from '../lib/work.ts';

const FAULTS = isLong ? 100 : 12;

type Fault = (fleet: Fleet, agent: Agentd, random: Random) => Promise<void> | void;

const killOne = (pids: number[], random: Random): void => {
  if (pids.length > 0) signal(random.pick(pids), 'SIGKILL');
};

/** What somebody with a shell may do, and the restart that systemd or a person would do next. */
const faults: Record<string, Fault> = {
  coordinator: async ({ coordinator }, _agent, random) => {
    await coordinator.kill();
    await elapse(random.between(0, 500));
    await coordinator.start();
  },
  postmaster: ({ coordinator }) => {
    const pid = coordinator.postmaster();
    if (pid !== null) signal(pid, 'SIGKILL');
  },
  agentd: async (_fleet, agent, random) => {
    await agent.kill();
    await elapse(random.between(0, 500));
    await agent.start();
  },
  shim: (_fleet, agent, random) => killOne(agent.attemptPids('shim.pid'), random),
  executor: (_fleet, agent, random) => killOne(agent.attemptPids('child.pid'), random),
};

describe('kill -9 by hand in any order', () => {
  it('once the faults stop, every task ends, with the result and the whole log of its last attempt', async (test) => {
    const random = createRandom(pickSeed('chaos'));
    const fleet = await openFleet(test);
    const agents = [];
    for (const name of ['one', 'two', 'three'])
      agents.push(await fleet.add({ name, slots: 4, command: commands.work(fleet.ledger) }));
    const work: Work = new Map();
    for (let index = 0; index < 12; index++) await addWork(fleet, work, random.between(10, 200), '0.04');
    await until('some to run', () => fleet.ledger.allStarts() >= 6);

    const done: string[] = [];
    for (let turn = 0; turn < FAULTS; turn++) {
      const name = random.pick(Object.keys(faults));
      const agent = random.pick(agents);
      done.push(`${name}@${agent.name}`);
      await faults[name]?.(fleet, agent, random);
      await elapse(random.between(0, 600));
    }
    console.log(`chaos: ${done.join(' ')}`);

    await until('the coordinator to answer', () => fleet.client.workspaces.status());
    const tasks = await expectDone(fleet, work, 90_000);
    for (const { id, attempts, stale_requeues } of tasks) {
      // An attempt that no fault hit is never repeated; a requeue by lease would be one nobody asked for.
      expect(fleet.ledger.starts(id)).toBeLessThanOrEqual(attempts);
      expect(stale_requeues).toBe(0);
    }
    for (const { state_dir } of agents) {
      await until('no process of any attempt', () => processesOf(`${state_dir}/work`).length === 0, 10_000).catch(() =>
        expect(processesOf(`${state_dir}/work`).map(titleOf)).toEqual([]),
      );
    }
    await fleet.audit();
  });
});
