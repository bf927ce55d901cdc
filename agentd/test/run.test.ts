import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { createLab, script, waitFor } from './harness.ts';

const nothingLeft = (state_dir: string) => async () => (await readdir(join(state_dir, 'attempts'))).length === 0;

test('a text result is delivered with its whole log, and nothing of the attempt is kept but its workdir', async (context) => {
  const { fake, state_dir, agentd } = await createLab(
    context,
    script('cat; echo; echo said >&2; echo more >/dev/stderr; touch made; pwd'),
  );
  const task = fake.addTask({ prompt: 'do it\n' });
  const running = agentd();
  await running.ready();
  expect(JSON.parse(running.stdout().trim())).toEqual({ event: 'ready', agent_id: 7, name: 'tester' });
  await waitFor('the report', () => task.attempts[0]?.reports[0]);
  await waitFor('the attempt to be forgotten', nothingLeft(state_dir));
  const [attempt] = task.attempts;
  const workdir = join(state_dir, 'work', `${task.id}-${attempt?.epoch}`);
  const text = `do it\n\n${workdir}\n`;
  expect(attempt?.state).toBe('completed');
  expect(attempt?.reports).toEqual([
    {
      verb: 'complete',
      body: {
        epoch: attempt?.epoch,
        resolution: text.trim(),
        exit_code: 0,
        log_sizes: { stdout: text.length, stderr: 10 },
      },
    },
  ]);
  expect(attempt?.log.stdout.toString()).toBe(text);
  expect(attempt?.log.stderr.toString()).toBe('said\nmore\n');
  expect(await readdir(workdir)).toEqual(['attachments', 'made']);
  expect(fake.requests.filter(({ path }) => path === `/tasks/${task.id}/start`)).toHaveLength(1);
});

test('a JSON result carries words, data, usage and session', async (context) => {
  const line = JSON.stringify({
    resolution: 'done so',
    result: { files: 3 },
    session_id: 's-1',
    usage: { input_tokens: 5, output_tokens: 7, cost_usd: 0.25, model: 'm' },
  });
  const { fake, agentd } = await createLab(context, script(`echo working; echo '${line}'`));
  const task = fake.addTask();
  agentd();
  const report = await waitFor('the report', () => task.attempts[0]?.reports[0]);
  expect(report.body).toMatchObject({
    resolution: 'done so',
    result: { files: 3 },
    session_id: 's-1',
    usage: { seq: 1, mode: 'cumulative', input_tokens: 5, output_tokens: 7, cost_usd_micros: 250_000, model: 'm' },
  });
});

test('a failing command, a missing one and one killed by a signal are told apart', async (context) => {
  const failing = await createLab(context, script('echo broken >&2; exit 3'));
  const missing = await createLab(context, ['no-such-command-here']);
  const killed = await createLab(context, script('kill -9 $$'));
  const reports = await Promise.all(
    [failing, missing, killed].map(async ({ fake, agentd }) => {
      const task = fake.addTask();
      agentd();
      return waitFor('the report', () => task.attempts[0]?.reports[0]);
    }),
  );
  expect(reports[0]?.body).toMatchObject({
    kind: 'exit_code',
    retryable: false,
    exit_code: 3,
    message: 'The command ended with exit code 3.\nbroken',
  });
  expect(reports[1]?.body).toMatchObject({
    kind: 'spawn',
    retryable: false,
    message: expect.stringContaining('"no-such-command-here"') as string,
  });
  expect(reports[2]?.body).toMatchObject({
    kind: 'killed',
    retryable: true,
    message: 'The command ended with killed by SIGKILL.',
  });
});

test('several slots run side by side, and a freed slot is used while others still run', async (context) => {
  const { fake, state_dir, agentd } = await createLab(
    context,
    script('while [ ! -e "$FLOTILLA_WORKDIR/../go-$FLOTILLA_TASK_ID" ]; do sleep 0.02; done'),
    { FLOTILLA_SLOTS: '2' },
  );
  const tasks = [fake.addTask(), fake.addTask(), fake.addTask()];
  agentd();
  await waitFor('two running', () => tasks.filter(({ attempts }) => attempts[0]?.state === 'running').length === 2);
  expect(tasks[2]?.attempts).toHaveLength(0);
  const { writeFile } = await import('node:fs/promises');
  await writeFile(join(state_dir, 'work', 'go-2'), '');
  await waitFor('the third to run', () => tasks[2]?.attempts[0]?.state === 'running');
  expect(tasks[0]?.attempts[0]?.state).toBe('running');
  for (const id of [1, 3]) await writeFile(join(state_dir, 'work', `go-${id}`), '');
  await waitFor('all done', () => tasks.every(({ status }) => status === 'done'));
});

test('tasks see an allowlisted environment, their own token by path, and no secret of the host', async (context) => {
  const { fake, state_dir, agentd } = await createLab(
    context,
    script('env; cat "$FLOTILLA_TOKEN_FILE"; cat "/proc/$PPID/environ" "/proc/$PPID/cmdline" | tr "\\0" "\\n"'),
    {
      FLOTILLA_PASS_ENV: 'PASSED',
      PASSED: 'passed-on',
      OTHER: 'other-canary',
      LC_TIME: 'C',
    },
  );
  const task = fake.addTask();
  agentd();
  await waitFor('the report', () => task.status === 'done');
  await waitFor('the log', nothingLeft(state_dir));
  const said = task.attempts[0]?.log.stdout.toString() ?? '';
  const secret = (await readFile(join(state_dir, 'secret'), 'utf8')).trim();
  expect(said).toContain('PASSED=passed-on');
  expect(said).toContain('LC_TIME=C');
  expect(said).toContain('FLOTILLA_TASK_REF=TASK-1');
  expect(said).toContain(`flt_attempt-token-${task.attempts[0]?.epoch}`);
  for (const canary of [secret, fake.join_token, 'other-canary', 'JOIN_TOKEN']) expect(said).not.toContain(canary);
});

test('a workdir goes when its retention is over', async (context) => {
  const { fake, state_dir, agentd } = await createLab(context, script('touch made'), {
    FLOTILLA_WORKDIR_RETENTION: '1s',
  });
  const task = fake.addTask();
  agentd();
  await waitFor('the result', () => task.status === 'done');
  await waitFor('the workdir to be gone', async () => (await readdir(join(state_dir, 'work'))).length === 0);
});

test('a log beyond the limit is cut with a visible mark, and invalid bytes arrive as they are', async (context) => {
  const { fake, state_dir, agentd } = await createLab(
    context,
    script(`printf '\\377\\000x' >&2; head -c 3000000 /dev/zero | tr '\\0' a; echo; echo end`),
    { FLOTILLA_MAX_LOG_BYTES: '100000' },
  );
  const task = fake.addTask();
  agentd();
  await waitFor('the log', async () => task.status === 'done' && (await nothingLeft(state_dir)()));
  const log = task.attempts[0]?.log;
  expect(log?.stdout.toString()).toBe(`${'a'.repeat(100_000)}\n[flotilla: log cut at 100000 bytes]\n`);
  expect(log?.stderr).toEqual(Buffer.from([0xff, 0, 0x78]));
  expect(task.attempts[0]?.reports[0]?.body).toMatchObject({ log_sizes: { stdout: log?.stdout.length, stderr: 3 } });
});
