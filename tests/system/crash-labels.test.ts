import { describe, expect, it } from 'vitest';

import { readCrashLabels } from '../lib/agentd.ts';
import { type Fleet, openFleet } from '../lib/fleet.ts';
import { commands } from '../lib/ledger.ts';
import { processesOf, titleOf } from '../lib/processes.ts';
import { until } from '../lib/until.ts';
import { addWork, expectDone, expectOnce, type Work } from '../lib/work.ts';

const LANES = 5;

/** agentd kills itself at one label of the life of one task, and is started again on what it left. */
const crashAt = async (fleet: Fleet, label: string, work: Work): Promise<void> => {
  const name = label.replaceAll(/[^a-z0-9]/g, '-');
  const leave = ['sh', '-c', 'echo kept >"$FLOTILLA_ATTACHMENTS/kept" && exec "$@"', 'leave'];
  const agent = await fleet.join({ name, command: [...leave, ...commands.work(fleet.ledger)] });
  await addWork(fleet, work, 25, '0.02', { assigned_to: name });
  await agent.start({ FLOTILLA_CRASH_AT: label });
  const ended = await Promise.race([agent.exited(), until(`agentd to crash at ${label}`, () => false, 20_000)]);
  expect({ label, ended }).toEqual({ label, ended: { code: null, signal: 'SIGKILL' } });
  await agent.start();
};

describe('R8: kill -9 of agentd at every label of the life of a task', () => {
  it('each task is executed once, delivered once, with its file and every byte of its log, and leaves no process', async (test) => {
    const fleet = await openFleet(test);
    const labels = readCrashLabels();
    const work: Work = new Map();
    const rest = labels.values(); // one iterator that the lanes share
    const lane = async () => {
      for (const label of rest) await crashAt(fleet, label, work);
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    const tasks = await expectDone(fleet, work);
    expect(tasks).toHaveLength(labels.length);
    expectOnce(fleet, tasks);
    for (const { id } of tasks) {
      const { attachments } = await fleet.client.attachments.list({ params: { id } });
      expect(attachments).toMatchObject([{ name: 'kept', size: 5, attempt: 1 }]);
    }
    for (const agent of fleet.agents) {
      await until(
        `nothing of ${agent.name} to run`,
        () => processesOf(`${agent.state_dir}/work`).length === 0,
        5_000,
      ).catch(() => expect(processesOf(`${agent.state_dir}/work`).map(titleOf)).toEqual([]));
    }
    await fleet.audit();
  });
});
