import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { apiError, type Fault } from './fake-state.ts';
import { createLab, isAlive, type Lab, script, waitFor } from './harness.ts';

const forgotten = async ({ state_dir }: Lab) => (await readdir(join(state_dir, 'attempts'))).length === 0;

describe.concurrent('a report', () => {
  test('is sent until it is really answered: resets, pages of proxies, half answers', async (context) => {
    const lab = await createLab(context, script('echo result'));
    const task = lab.fake.addTask();
    const faults: Fault[] = [
      { kind: 'reset' },
      { kind: 'answer', status: 502, body: '<html>bad gateway</html>', type: 'text/html' },
      { kind: 'answer', status: 200, body: '<html>sign in to the WiFi</html>', type: 'text/html' },
      { kind: 'answer', status: 404, body: 'no such route' },
      apiError(503, 'unavailable'),
      { kind: 'reset', after: true },
    ];
    lab.fake.fault = ({ path }) => (path.endsWith('/complete') ? (faults.shift() ?? null) : null);
    lab.agentd();
    await waitFor(
      'the report to be settled',
      async () => faults.length === 0 && task.status === 'done' && (await forgotten(lab)),
      25_000,
    );
    expect(task.attempts[0]?.reports).toHaveLength(1);
  });

  test('that is refused for ever becomes a dead letter and keeps nobody waiting', async (context) => {
    const lab = await createLab(context, script('echo result'), { FLOTILLA_SLOTS: '4' });
    const tasks = Array.from({ length: 6 }, () => lab.fake.addTask());
    lab.fake.fault = ({ path }) =>
      path === '/tasks/1/complete' ? apiError(422, 'invalid_input', { field: 'resolution' }) : null;
    lab.agentd();
    await waitFor(
      'the others to be done',
      async () => tasks.slice(1).every(({ status }) => status === 'done') && (await forgotten(lab)),
    );
    const letters = await readdir(join(lab.state_dir, 'dead-letter'));
    expect(letters).toHaveLength(1);
    expect(JSON.parse(await readFile(join(lab.state_dir, 'dead-letter', letters[0] ?? ''), 'utf8'))).toMatchObject({
      report: { verb: 'complete', body: { resolution: 'result' } },
      refusal: { status: 422, details: { field: 'resolution' } },
    });
    await waitFor('the dead letter in a beat', () => lab.fake.beats.at(-1)?.outbox?.dead === 1);
    // The task itself ends, with the reason, instead of being run and refused again and again.
    expect(tasks[0]?.status).toBe('failed');
  });

  test('waits while the token is refused, and is delivered when it is accepted again', async (context) => {
    const lab = await createLab(context, script('sleep 0.5; echo result'));
    const task = lab.fake.addTask();
    const agentd = lab.agentd();
    await waitFor('the task to run', () => task.attempts[0]?.state === 'running');
    lab.fake.fault = () => apiError(401, 'unauthenticated');
    lab.fake.addTask();
    await waitFor('the report on disk', async () => {
      const [key = ''] = await readdir(join(lab.state_dir, 'attempts'));
      return readFile(join(lab.state_dir, 'attempts', key, 'report.json')).catch(() => null);
    });
    await waitFor('the alarm', () => agentd.stderr().includes('refuses this agent'));
    const asked = lab.fake.requests.filter(({ path }) => path === '/tasks/claim').length;
    await waitFor('some beats to be refused', () =>
      lab.fake.requests.slice(-3).every(({ path }) => path.endsWith('/heartbeat')),
    );
    expect(isAlive(agentd.pid)).toBe(true);
    expect(lab.fake.requests.filter(({ path }) => path === '/tasks/claim')).toHaveLength(asked);
    lab.fake.fault = () => null;
    await waitFor('both results', () => [...lab.fake.tasks.values()].every(({ status }) => status === 'done'));
    expect(task.attempts).toHaveLength(1);
  });

  test('outlives an outage of the coordinator together with the log of that time', async (context) => {
    const lab = await createLab(
      context,
      script('echo before; while [ -e "$FLOTILLA_WORKDIR/../hold" ]; do sleep 0.02; done; echo after'),
    );
    const { writeFile, rm, mkdir } = await import('node:fs/promises');
    await mkdir(join(lab.state_dir, 'work'));
    await writeFile(join(lab.state_dir, 'work', 'hold'), '');
    const task = lab.fake.addTask();
    lab.agentd();
    await waitFor('some log', () => task.attempts[0]?.log.stdout.toString() === 'before\n');
    await lab.fake.stop();
    await rm(join(lab.state_dir, 'work', 'hold'));
    await waitFor('the report on disk', async () => {
      const [key = ''] = await readdir(join(lab.state_dir, 'attempts'));
      return readFile(join(lab.state_dir, 'attempts', key, 'report.json')).catch(() => null);
    });
    await lab.fake.start();
    await waitFor('everything to be delivered', async () => task.status === 'done' && (await forgotten(lab)));
    expect(task.attempts[0]?.log.stdout.toString()).toBe('before\nafter\n');
    expect(task.attempts).toHaveLength(1);
  });
});

describe.concurrent('a log upload', () => {
  test('goes back to where the coordinator has it, and survives failed tries', async (context) => {
    const lab = await createLab(
      context,
      script('i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo "line $i"; done; sleep 0.3; echo last'),
    );
    const task = lab.fake.addTask();
    let tries = 0;
    lab.fake.fault = ({ path }) => {
      if (!path.endsWith('/log')) return null;
      tries += 1;
      if (tries === 2)
        for (const attempt of lab.fake.attempts()) attempt.log.stdout = attempt.log.stdout.subarray(0, 100);
      return tries % 3 === 0 ? { kind: 'reset', after: tries % 2 === 0 } : null;
    };
    lab.agentd();
    await waitFor('the whole log', async () => task.status === 'done' && (await forgotten(lab)));
    expect(task.attempts[0]?.log.stdout.toString()).toBe(
      `${Array.from({ length: 2000 }, (_, i) => `line ${i + 1}\n`).join('')}last\n`,
    );
  });

  test('that is refused for good is given up; the result is not', async (context) => {
    const lab = await createLab(context, script('echo result'));
    const task = lab.fake.addTask();
    lab.fake.fault = ({ path }) => (path.endsWith('/log') ? apiError(409, 'lease_lost') : null);
    lab.agentd();
    await waitFor('the result', async () => task.status === 'done' && (await forgotten(lab)));
  });

  test('never delays the report', async (context) => {
    const lab = await createLab(context, script('echo result'));
    const task = lab.fake.addTask();
    lab.fake.fault = ({ path }) => (path.endsWith('/log') ? { kind: 'hang' } : null);
    lab.agentd();
    await waitFor('the result', () => task.status === 'done');
  });
});
