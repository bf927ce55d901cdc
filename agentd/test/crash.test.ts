import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { crashLabels } from '../src/crash-point.ts';
import { createLab, isAlive, type Lab, processesOf, script, waitFor } from './harness.ts';

const settled = async ({ fake, state_dir }: Lab): Promise<boolean> =>
  fake.attempts().length > 0 &&
  fake.attempts().every(({ reports }) => reports.length > 0) &&
  (await readdir(join(state_dir, 'attempts'))).length === 0;

const pidOf = async (state_dir: string, file: string): Promise<number> => {
  const [key] = await readdir(join(state_dir, 'attempts'));
  return Number.parseInt(await readFile(join(state_dir, 'attempts', key ?? '', file), 'utf8'), 10);
};

const EXPECTED = Array.from({ length: 40 }, (_, index) => `line ${index + 1}\n`).join('');
// Runs once or the log shows it; leaves a file, and a daemon of its own behind that must not outlive the attempt.
const WORK = script(
  'setsid sleep 300 & echo kept >"$FLOTILLA_ATTACHMENTS/kept"; i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; echo line $i >&2; sleep 0.01; done',
);

describe.concurrent('kill -9 of agentd', () => {
  test.for(crashLabels)('at %s: one result, the same log, its file, no orphan', async (label, context) => {
    const lab = await createLab(context, WORK);
    const { fake, state_dir, agentd } = lab;
    const task = fake.addTask();
    expect(await agentd({ FLOTILLA_CRASH_AT: label }).exited).toEqual({ code: null, signal: 'SIGKILL' });
    await agentd().ready();
    await waitFor(`the result after ${label}`, () => settled(lab), 25_000);
    expect(task.attempts).toHaveLength(1);
    const [attempt] = task.attempts;
    expect(attempt?.reports).toHaveLength(1);
    expect(attempt?.state).toBe('completed');
    expect(attempt?.log.stdout.toString()).toBe(EXPECTED);
    expect(attempt?.log.stderr.toString()).toBe(EXPECTED);
    expect([...(attempt?.files ?? [])]).toEqual([['kept', Buffer.from('kept\n')]]);
    expect(fake.registered?.count).toBeLessThanOrEqual(2);
    await waitFor('no orphan', () => processesOf(state_dir).filter(isAlive).length === 0);
  });
});

describe.concurrent('kill -9 of an attempt', () => {
  const SLOW = script('setsid sleep 300 & echo begun; sleep 300');

  test('of its shim: everything it ran ends, its log is kept, the task may be tried again', async (context) => {
    const lab = await createLab(context, SLOW);
    const task = lab.fake.addTask();
    await lab.agentd().ready();
    await waitFor('some log', () => task.attempts[0]?.log.stdout.toString() === 'begun\n');
    process.kill(await pidOf(lab.state_dir, 'shim.pid'), 'SIGKILL');
    await waitFor('the report', () => settled(lab));
    expect(task.attempts[0]?.reports).toMatchObject([
      { verb: 'fail', body: { kind: 'shim_lost', retryable: true, log_sizes: { stdout: 6, stderr: 0 } } },
    ]);
    expect(task.attempts[0]?.log.stdout.toString()).toBe('begun\n');
    expect(processesOf(lab.state_dir).filter(isAlive)).toEqual([]);
  });

  test('of its shim while agentd is away: the next start finds it out', async (context) => {
    const lab = await createLab(context, SLOW);
    const task = lab.fake.addTask();
    const first = lab.agentd();
    await waitFor('some log', () => task.attempts[0]?.log.stdout.toString() === 'begun\n');
    first.signal('SIGKILL');
    await first.exited;
    process.kill(await pidOf(lab.state_dir, 'shim.pid'), 'SIGKILL');
    lab.agentd();
    await waitFor('the report', () => settled(lab));
    expect(task.attempts[0]?.reports).toMatchObject([{ verb: 'fail', body: { kind: 'shim_lost' } }]);
    expect(processesOf(lab.state_dir).filter(isAlive)).toEqual([]);
  });

  test('of its executor: the signal is reported and the task may be tried again', async (context) => {
    const lab = await createLab(context, SLOW);
    const task = lab.fake.addTask();
    await lab.agentd().ready();
    await waitFor('some log', () => task.attempts[0]?.log.stdout.toString() === 'begun\n');
    process.kill(await pidOf(lab.state_dir, 'child.pid'), 'SIGKILL');
    await waitFor('the report', () => settled(lab));
    expect(task.attempts[0]?.reports).toMatchObject([
      { verb: 'fail', body: { kind: 'killed', retryable: true, exit_code: 137, output: 'begun' } },
    ]);
    expect(processesOf(lab.state_dir).filter(isAlive)).toEqual([]);
  });
});
