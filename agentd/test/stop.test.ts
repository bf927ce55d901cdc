import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { apiError } from './fake-state.ts';
import { createLab, isAlive, type Lab, processesOf, script, waitFor } from './harness.ts';

// Ignores TERM, and so do its children: one in the same session, one in its own, one double-forked.
const STUBBORN = script(`
  trap '' TERM
  sleep 300 &
  setsid sh -c 'sleep 300' &
  (setsid sh -c 'sleep 300 & sleep 300' &)
  echo begun; while :; do sleep 1; done`);

const begun = async ({ fake }: Lab) =>
  waitFor('the task to have begun', () => fake.attempts()[0]?.log.stdout.toString() === 'begun\n');
const gone = ({ state_dir }: Lab) => processesOf(state_dir).filter(isAlive).length === 0;
const report = ({ fake }: Lab) => waitFor('the report', () => fake.attempts()[0]?.reports[0]);

describe.concurrent('an attempt is stopped', () => {
  test('by a cancel, although nothing in it obeys TERM', async (context) => {
    const lab = await createLab(context, STUBBORN);
    const task = lab.fake.addTask();
    const agentd = lab.agentd();
    await begun(lab);
    task.cancel_requested = true;
    expect(await report(lab)).toMatchObject({ verb: 'fail', body: { kind: 'cancelled', retryable: false } });
    expect(gone(lab)).toBe(true);
    expect(isAlive(agentd.pid)).toBe(true);
  });

  test('by a cancel that agentd does not survive: the next start ends it', async (context) => {
    const lab = await createLab(context, STUBBORN, { FLOTILLA_KILL_GRACE_MS: '3000' });
    const task = lab.fake.addTask();
    const agentd = lab.agentd();
    await begun(lab);
    task.cancel_requested = true;
    await waitFor('the decision', async () => {
      const [key = ''] = await readdir(join(lab.state_dir, 'attempts'));
      return readFile(join(lab.state_dir, 'attempts', key, 'intent.json')).catch(() => null);
    });
    agentd.signal('SIGKILL');
    await agentd.exited;
    task.cancel_requested = false;
    lab.agentd();
    expect(await report(lab)).toMatchObject({ verb: 'fail', body: { kind: 'cancelled' } });
    expect(gone(lab)).toBe(true);
  });

  test('with TERM first: what obeys it may clean up', async (context) => {
    const lab = await createLab(
      context,
      script('trap "echo cleaned; exit 0" TERM; echo begun; while :; do sleep 0.05; done'),
      { FLOTILLA_KILL_GRACE_MS: '10000' },
    );
    const task = lab.fake.addTask();
    lab.agentd();
    await begun(lab);
    task.cancel_requested = true;
    expect(await report(lab)).toMatchObject({ body: { kind: 'cancelled', output: 'begun\ncleaned' } });
  });

  test('with TERM to the executor first: it does not take the end of its tool for a result', async (context) => {
    // As an agent does: the tool has a session of its own, and TERM takes its time.
    const agent = script(`
      trap 'stopping=1' TERM
      setsid sh -c 'echo begun; exec sleep 300' &
      while kill -0 $!; do
        [ -z "$stopping" ] || { sleep 0.3; kill -0 $! && echo 'tool alive'; exit 0; }
        sleep 0.05
      done
      echo 'asks the model about the end of its tool'; sleep 300`);
    const lab = await createLab(context, agent, { FLOTILLA_KILL_GRACE_MS: '10000' });
    const task = lab.fake.addTask();
    lab.agentd();
    await begun(lab);
    task.cancel_requested = true;
    expect(await report(lab)).toMatchObject({ body: { kind: 'cancelled', output: 'begun\ntool alive' } });
    expect(gone(lab)).toBe(true);
  });

  test('at its time limit, counted on through a restart of agentd', async (context) => {
    const lab = await createLab(context, STUBBORN);
    lab.fake.addTask({ timeout_s: 2 });
    const began = Date.now();
    const first = lab.agentd();
    await begun(lab);
    first.signal('SIGKILL');
    await first.exited;
    lab.agentd();
    expect(await report(lab)).toMatchObject({ verb: 'fail', body: { kind: 'timeout', retryable: true } });
    expect(Date.now() - began).toBeGreaterThan(2000);
    expect(gone(lab)).toBe(true);
  });

  test('when its lease is lost; the report is kept as evidence and forgotten here', async (context) => {
    const lab = await createLab(context, STUBBORN);
    const task = lab.fake.addTask();
    lab.agentd();
    await begun(lab);
    lab.fake.eligibility = 'ineligible';
    lab.fake.expire(task);
    expect(await report(lab)).toMatchObject({ verb: 'fail', body: { kind: 'lease_lost' } });
    await waitFor(
      'the attempt to be forgotten',
      async () => (await readdir(join(lab.state_dir, 'attempts'))).length === 0,
    );
    expect(gone(lab)).toBe(true);
  });

  test('by a fence when no beat renews it, and by nothing else', async (context) => {
    const lab = await createLab(context, STUBBORN, { FLOTILLA_SLOTS: '2' });
    lab.fake.timings.lease_ms = 6500;
    lab.fake.addTask({ on_host_loss: 'fence' });
    lab.fake.addTask({ on_host_loss: 'requeue' });
    lab.agentd();
    await waitFor(
      'both to have begun',
      () => lab.fake.attempts().filter(({ log, state }) => log.stdout.length > 0 && state === 'running').length === 2,
    );
    await lab.fake.stop();
    await waitFor('one of them to be fenced', async () => {
      const dirs = await readdir(join(lab.state_dir, 'attempts'));
      const reports = await Promise.all(
        dirs.map((key) => readFile(join(lab.state_dir, 'attempts', key, 'report.json'), 'utf8').catch(() => null)),
      );
      return reports.some((text) => text?.includes('fenced'));
    });
    await lab.fake.start();
    await waitFor('the report of the fenced one', () => lab.fake.attempts()[0]?.reports[0]);
    expect(lab.fake.attempts()[1]).toMatchObject({ state: 'running', reports: [] });
    expect(gone(lab)).toBe(false);
  });

  test('by a deleted task only when that is confirmed; one answer or a 404 kills nothing', async (context) => {
    const lab = await createLab(context, STUBBORN);
    const task = lab.fake.addTask();
    let starts = 0;
    // First a proxy's 404, then one 410 of an old copy, then the task is really gone.
    lab.fake.fault = ({ path }) => {
      if (!path.endsWith('/start')) return null;
      starts += 1;
      return starts === 1 ? { kind: 'answer', status: 404, body: 'nope' } : apiError(410, 'task_gone');
    };
    lab.agentd();
    await begun(lab);
    await waitFor('the first 410', () => starts >= 2);
    expect(gone(lab)).toBe(false);
    expect(await report(lab)).toMatchObject({ body: { kind: 'lease_lost' } });
    expect(starts).toBe(3);
    expect(task.attempts[0]?.reports).toHaveLength(1);
  });
});

describe.concurrent('a drain', () => {
  test('with a deadline hands running tasks back and takes no new ones', async (context) => {
    const lab = await createLab(context, STUBBORN);
    const task = lab.fake.addTask();
    lab.agentd();
    await begun(lab);
    lab.fake.startDrain({ remaining_ms: 300, on_deadline: 'requeue' });
    lab.fake.addTask();
    await waitFor('the drain to be seen', () => lab.fake.beats.at(-1)?.state === 'draining');
    expect(await report(lab)).toMatchObject({ verb: 'unclaim', body: { reason: 'drain', log_sizes: { stdout: 6 } } });
    await waitFor('drained', () => lab.fake.beats.at(-1)?.state === 'drained');
    expect(gone(lab)).toBe(true);
    expect(task.status).toBe('queued');
    expect(lab.fake.attempts()).toHaveLength(1);
    expect(lab.fake.beats.at(-1)?.eligibility_generation).toBe(2);
    lab.fake.eligibility = 'eligible';
    lab.fake.drain = null;
    lab.fake.eligibility_generation = 3;
    await waitFor('work after the resume', () => lab.fake.attempts().length === 2);
  });

  test('is followed from disk when agentd restarts without a coordinator', async (context) => {
    const lab = await createLab(context, STUBBORN);
    lab.fake.addTask();
    const first = lab.agentd();
    await begun(lab);
    lab.fake.startDrain({ remaining_ms: 2500, on_deadline: 'kill' });
    await waitFor('the drain to be applied', () => lab.fake.beats.at(-1)?.eligibility_generation === 2);
    await lab.fake.stop();
    first.signal('SIGKILL');
    await first.exited;
    lab.agentd();
    await waitFor('the tree to be gone', () => gone(lab));
    await lab.fake.start();
    expect(await report(lab)).toMatchObject({ verb: 'unclaim', body: { reason: 'drain' } });
  });

  test('that waits lets the task finish', async (context) => {
    const lab = await createLab(context, script('echo begun; sleep 1.5; echo end'));
    const task = lab.fake.addTask();
    lab.agentd();
    await begun(lab);
    lab.fake.startDrain({ remaining_ms: 100, on_deadline: 'wait' });
    await waitFor('the result', () => task.status === 'done');
    await waitFor('drained', () => lab.fake.beats.at(-1)?.state === 'drained');
  });
});
