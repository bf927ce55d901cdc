import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { VERSION } from '../src/version.ts';
import { apiError } from './fake-state.ts';
import { createLab, isAlive, processesOf, script, waitFor } from './harness.ts';

test('the version is that of the package', async () => {
  const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../package.json'), 'utf8')) as {
    version: string;
  };
  expect(VERSION).toBe(version);
});

describe.concurrent('stopping', () => {
  test('detaches: the task runs on, and the next start adopts it and delivers', async (context) => {
    const lab = await createLab(
      context,
      script('echo begun; while [ ! -e "$FLOTILLA_WORKDIR/../go" ]; do sleep 0.02; done; echo end'),
    );
    const task = lab.fake.addTask();
    const first = lab.agentd();
    await waitFor(
      'the task to have begun',
      () => task.attempts[0]?.last_phase === 'running' && task.attempts[0].log.stdout.length > 0,
    );
    const asked = Date.now();
    first.signal('SIGTERM');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(Date.now() - asked).toBeLessThan(2000);
    expect(lab.fake.beats.at(-1)).toMatchObject({
      state: 'detached',
      attempts: [{ task_id: task.id, phase: 'running' }],
    });
    expect(processesOf(lab.state_dir).filter(isAlive).length).toBeGreaterThan(0);
    await lab.agentd().ready();
    await writeFile(join(lab.state_dir, 'work', 'go'), '');
    await waitFor('the result', () => task.status === 'done');
    expect(task.attempts[0]?.log.stdout.toString()).toBe('begun\nend\n');
    expect(task.attempts).toHaveLength(1);
  });

  test('takes no two seconds even when the coordinator hangs', async (context) => {
    const lab = await createLab(context, script('echo begun; sleep 300'));
    const task = lab.fake.addTask();
    const first = lab.agentd();
    await waitFor('the task to have begun', () => task.attempts[0]?.log.stdout.length);
    lab.fake.fault = () => ({ kind: 'hang' });
    const asked = Date.now();
    first.signal('SIGTERM');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(Date.now() - asked).toBeLessThan(2000);
  });

  test('in the instant a task ends loses nothing', async (context) => {
    const lab = await createLab(
      context,
      script('while [ ! -e "$FLOTILLA_WORKDIR/../go" ]; do sleep 0.01; done; echo end'),
    );
    const task = lab.fake.addTask();
    const first = lab.agentd();
    await waitFor('the task to run', () => task.attempts[0]?.state === 'running');
    await writeFile(join(lab.state_dir, 'work', 'go'), '');
    first.signal('SIGTERM');
    await first.exited;
    lab.agentd();
    await waitFor('the result', () => task.status === 'done');
    expect(task.attempts[0]?.reports).toHaveLength(1);
  });
});

describe.concurrent('claiming', () => {
  test('replays a claim whose answer was lost under the same id, and runs its task once', async (context) => {
    const lab = await createLab(context, script('echo ran'));
    const task = lab.fake.addTask();
    let lost = 0;
    lab.fake.fault = ({ path }) => (path === '/tasks/claim' && lost++ < 3 ? { kind: 'reset', after: true } : null);
    lab.agentd();
    await waitFor('the result', () => task.status === 'done');
    expect(task.attempts).toHaveLength(1);
    const ids = lab.fake.requests
      .filter(({ path }) => path === '/tasks/claim')
      .map(({ body }) => (body as { claim_id: string }).claim_id);
    expect(new Set(ids.slice(0, 4)).size).toBe(1);
  });

  test('stops while another instance is active, and work goes on', async (context) => {
    const lab = await createLab(context, script('echo begun; sleep 300'), { FLOTILLA_SLOTS: '2' });
    const task = lab.fake.addTask();
    const agentd = lab.agentd();
    await waitFor('the task to have begun', () => task.attempts[0]?.log.stdout.length);
    await waitFor('its start to be told', () => task.attempts[0]?.state === 'running');
    lab.fake.fault = ({ path }) => (path.endsWith('/heartbeat') ? apiError(409, 'instance_conflict') : null);
    await waitFor('the conflict to be logged', () => agentd.stderr().includes('instance_conflict'));
    await lab.fake.stop();
    await lab.fake.start();
    const beats = () => lab.fake.requests.filter(({ path }) => path.endsWith('/heartbeat')).length;
    // The claim that was parked when the socket broke may be sent once more; after these beats it was.
    const restarted_at = beats();
    await waitFor('the first beats', () => beats() > restarted_at + 2);
    const before = lab.fake.requests.length;
    await waitFor('some beats', () => lab.fake.requests.length > before + 4);
    expect(lab.fake.requests.slice(before).filter(({ path }) => path === '/tasks/claim')).toEqual([]);
    expect(task.attempts[0]?.state).toBe('running');
  });

  test('and with it the report of what ended meanwhile, until the other one is gone', async (context) => {
    const wait = 'echo begun; while [ ! -e "$FLOTILLA_WORKDIR/../go" ]; do sleep 0.02; done; echo end';
    const lab = await createLab(context, script(wait));
    const task = lab.fake.addTask();
    const agentd = lab.agentd();
    await waitFor('its start to be told', () => task.attempts[0]?.state === 'running');
    let conflicts = 0;
    lab.fake.fault = ({ path }) => {
      if (!path.endsWith('/heartbeat')) return null;
      conflicts += 1;
      return apiError(409, 'instance_conflict');
    };
    await waitFor('the conflict to be logged', () => agentd.stderr().includes('instance_conflict'));
    await writeFile(join(lab.state_dir, 'work', 'go'), '');
    const seen = conflicts;
    await waitFor('some beats after the end', () => conflicts > seen + 3);
    expect(task.attempts[0]?.reports).toEqual([]);
    lab.fake.fault = () => null;
    await waitFor('the report', () => task.status === 'done');
  });
});

describe.concurrent('starting', () => {
  test('with an identity is ready before the coordinator is', async (context) => {
    const lab = await createLab(context, script('true'));
    const first = lab.agentd();
    await first.ready();
    first.signal('SIGTERM');
    await first.exited;
    await lab.fake.stop();
    await lab.agentd({ FLOTILLA_JOIN_TOKEN: undefined }).ready();
    expect((await stat(join(lab.state_dir, 'identity.json'))).mode & 0o777).toBe(0o600);
  });

  test('registers with one digest however often the answer is lost', async (context) => {
    const lab = await createLab(context, script('true'));
    let lost = 0;
    lab.fake.fault = ({ path }) => (path === '/agents/register' && lost++ < 2 ? { kind: 'reset', after: true } : null);
    await lab.agentd().ready();
    expect(lab.fake.registered?.count).toBe(3);
  });

  test('a second agentd on the same state directory is refused; a dead one leaves no lock', async (context) => {
    const lab = await createLab(context, script('true'));
    const first = lab.agentd();
    await first.ready();
    const second = lab.agentd();
    expect((await second.exited).code).toBe(1);
    expect(second.stderr()).toBe(
      `agentd cannot run: another agentd (pid ${first.pid}) uses this state directory: stop it, or set FLOTILLA_STATE_DIR to another directory\n`,
    );
    first.signal('SIGKILL');
    await first.exited;
    await lab.agentd().ready();
    expect((await readdir(lab.state_dir)).filter((name) => name.startsWith('agentd.lock'))).toEqual(['agentd.lock']);
  });

  test('a refused join token is explained, not shown', async (context) => {
    const lab = await createLab(context, script('true'));
    const agentd = lab.agentd({ FLOTILLA_JOIN_TOKEN: 'flj_wrong-canary' });
    expect((await agentd.exited).code).toBe(1);
    expect(agentd.stderr()).toContain(
      'refused the registration of "tester" (fake: join_token_invalid): create a new join token',
    );
    expect(agentd.stderr()).not.toContain('canary');
  });

  test('bad settings are named one by one with their remedy, and without a stack', async (context) => {
    const lab = await createLab(context, script('true'));
    const agentd = lab.agentd({
      FLOTILLA_URL: 'ftp://x',
      FLOTILLA_SLOTS: '0',
      FLOTILLA_COMMAND: 'sh -c true',
      FLOTILLA_EXECUTOR: 'podman',
      FLOTILLA_PASS_ENV: 'FLOTILLA_JOIN_TOKEN',
    });
    expect((await agentd.exited).code).toBe(2);
    expect(agentd.stderr().trim().split('\n')).toEqual([
      'FLOTILLA_URL cannot be used (it is not an http:// or https:// address): set it to the address of the coordinator, for example https://flotilla.example.com.',
      'FLOTILLA_SLOTS cannot be used (it is below 1): set it to the number of tasks to run at a time, 1 to 1024.',
      'FLOTILLA_EXECUTOR cannot be used (it is neither "command" nor "openclaw"): set it to command or openclaw, or leave it out.',
      'FLOTILLA_COMMAND cannot be used (it is not JSON): set it to the argv to run as a JSON array, for example ["my-agent","--file","{prompt_file}"].',
      'FLOTILLA_PASS_ENV cannot be used (FLOTILLA_ variables are never passed on): list variable names separated by commas, for example ANTHROPIC_API_KEY,HTTPS_PROXY.',
    ]);
    const plain = lab.agentd({ FLOTILLA_URL: 'http://flotilla.example.com' });
    expect((await plain.exited).code).toBe(2);
    expect(plain.stderr()).toMatch(/^FLOTILLA_URL is plain http:\/\/ to another host.*FLOTILLA_INSECURE=1.*\n$/);
    const unjoined = lab.agentd({ FLOTILLA_JOIN_TOKEN: undefined });
    expect((await unjoined.exited).code).toBe(2);
    expect(unjoined.stderr()).toMatch(/This host has not joined yet .* set FLOTILLA_JOIN_TOKEN_FILE/);
  });

  test('settings may come from a file; the environment wins', async (context) => {
    const lab = await createLab(context, script('true'));
    const dir = await mkdtemp(join(tmpdir(), 'flotilla-agentd-config-'));
    context.onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const path = join(dir, 'agentd.json');
    await writeFile(
      path,
      JSON.stringify({
        FLOTILLA_COMMAND: ['sh', '-c', 'echo from file'],
        FLOTILLA_SLOTS: 3,
        FLOTILLA_AGENT_NAME: 'from-file',
      }),
    );
    const task = lab.fake.addTask();
    await lab.agentd({ FLOTILLA_CONFIG: path, FLOTILLA_COMMAND: undefined }).ready();
    await waitFor('the result', () => task.attempts[0]?.reports[0]?.body.resolution === 'from file');
    expect(lab.fake.registered?.name).toBe('tester');
    expect(lab.fake.beats[0]?.slots).toBe(3);
  });
});

test('a listener that never answers does not keep it from stopping before it has joined', async (context) => {
  const lab = await createLab(context, script('true'));
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  const agentd = lab.agentd({ FLOTILLA_URL: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` });
  await waitFor('the secret', () => readFile(join(lab.state_dir, 'secret')).catch(() => null));
  agentd.signal('SIGTERM');
  expect((await agentd.exited).code).toBe(0);
  silent.close();
});
