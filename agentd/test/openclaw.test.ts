import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test, type TestContext } from 'vitest';

import { createLab, waitFor } from './harness.ts';

const ENVELOPE =
  '{"ok":true,"status":"ok","final":"said so","sessionId":"s-1","usage":{"input":3,"output":2},"costUsd":0.5}';
const CONFIG = {
  gateway: { auth: { token: '${GATEWAY_TOKEN}' } },
  models: { providers: { p: { apiKey: '${P_KEY}' } } },
  agents: { defaults: { model: 'p/usual', thinkingDefault: 'low' }, entries: { one: {}, two: {} } },
};

const script = (path: string, text: string): void => writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });

/** Stand-ins for node and openclaw, and the files of a host; the real ones are run by `make test-openclaw`. */
const installStub = ({ onTestFinished }: TestContext, turn: string) => {
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-openclaw-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const file = (name: string) => join(dir, name);
  script(file('node'), 'echo v24.16.0');
  script(file('openclaw'), `[ "$1" = --version ] && { echo 'OpenClaw 2026.9.6 (abc)'; exit; }\n${turn}`);
  writeFileSync(file('openclaw.json'), JSON.stringify(CONFIG));
  writeFileSync(file('keys.env'), '# keys\nexport P_KEY="sk-canary"\n', { mode: 0o600 });
  const env: Record<string, string> = {
    PATH: `${dir}:/usr/bin:/bin`,
    OUT: dir,
    FLOTILLA_PASS_ENV: 'OUT',
    FLOTILLA_EXECUTOR: 'openclaw',
    FLOTILLA_OPENCLAW_CONFIG: file('openclaw.json'),
    FLOTILLA_OPENCLAW_ENV_FILE: file('keys.env'),
  };
  return { file, env };
};

const KEEP_ALL = `cat >"$OUT/stdin"; printf '%s\\n' "$@" >"$OUT/argv"; env >"$OUT/env"; cp "$OPENCLAW_CONFIG_PATH" "$OUT/config"
stat -c %a "$OPENCLAW_CONFIG_PATH" >"$OUT/mode"; cp "$FLOTILLA_WORKDIR/../../attempts/"*/attempt.json "$OUT/record"; cat SOUL.md >"$OUT/soul"
echo '${ENVELOPE}'`;

test('a turn gets one agent, its prompt, its soul and the keys, and shares nothing else', async (context) => {
  const { file, env } = installStub(context, KEEP_ALL);
  const { fake, state_dir, agentd } = await createLab(context, ['false'], env);
  const task = fake.addTask({ prompt: 'do it', model: 'p/special', timeout_s: 77, metadata: { soul: 'I am brave.' } });
  await agentd().ready();
  const report = await waitFor('the report', () => task.attempts[0]?.reports[0]);
  expect(report).toMatchObject({
    verb: 'complete',
    body: { resolution: 'said so', session_id: 's-1', usage: { input_tokens: 3, cost_usd_micros: 500_000 } },
  });
  const workdir = join(state_dir, 'work', `${task.id}-${task.attempts[0]?.epoch}`);
  const private_dir = join(state_dir, 'attempts', `${task.id}-${task.attempts[0]?.epoch}`, 'private');
  expect(readFileSync(file('stdin'), 'utf8')).toBe('do it');
  expect(readFileSync(file('soul'), 'utf8')).toBe('I am brave.');
  expect(readFileSync(file('argv'), 'utf8').trim().split('\n')).toEqual(
    `agent exec --message-file - --cwd ${workdir} --config ${private_dir}/openclaw.json --json --timeout 77`.split(' '),
  );
  expect(readFileSync(file('mode'), 'utf8')).toBe('600\n');
  expect(JSON.parse(readFileSync(file('config'), 'utf8'))).toEqual({
    models: CONFIG.models,
    update: { checkOnStart: false },
    telemetry: { enabled: false },
    agents: {
      ownership: 'explicit',
      defaults: {
        model: { primary: 'p/special' },
        thinkingDefault: 'low',
        workspace: workdir,
        systemAgent: { agentId: 'main' },
        heartbeat: { every: '0m' },
      },
      entries: { main: {} },
    },
  });
  const seen = readFileSync(file('env'), 'utf8').split('\n');
  expect(seen).toEqual(expect.arrayContaining(['P_KEY=sk-canary', `OPENCLAW_STATE_DIR=${private_dir}/state`]));
  expect(readFileSync(file('record'), 'utf8')).not.toContain('sk-canary');
  const registered = fake.requests.find(({ path }) => path === '/agents/register')?.body;
  expect(registered).toMatchObject({ agent: { executors: ['openclaw'], metadata: { openclaw: '2026.9.6' } } });
  await waitFor('the attempt to be forgotten', async () => (await readdir(join(state_dir, 'attempts'))).length === 0);
});

test('a task without a model or a soul gets those of the host', async (context) => {
  const { file, env } = installStub(context, KEEP_ALL);
  writeFileSync(file('soul.md'), 'We are kind.');
  const { fake, agentd } = await createLab(context, ['false'], {
    ...env,
    FLOTILLA_OPENCLAW_SOUL_FILE: file('soul.md'),
  });
  const task = fake.addTask();
  agentd();
  await waitFor('the report', () => task.attempts[0]?.reports[0]);
  expect(readFileSync(file('soul'), 'utf8')).toBe('We are kind.');
  expect(JSON.parse(readFileSync(file('config'), 'utf8'))).toMatchObject({
    agents: { defaults: { model: 'p/usual' } },
  });
});

test('a turn has time to keep its own deadline, and says so itself', async (context) => {
  const late = `sleep 2; echo '{"ok":false,"status":"timeout","sessionId":"s-2","error":{"message":"too late"}}'; exit 2`;
  const { env } = installStub(context, late);
  const { fake, agentd } = await createLab(context, ['false'], env);
  const task = fake.addTask({ timeout_s: 1 });
  agentd();
  const report = await waitFor('the report', () => task.attempts[0]?.reports[0]);
  expect(report).toMatchObject({
    verb: 'fail',
    body: { kind: 'timeout', retryable: true, exit_code: 2, session_id: 's-2', message: 'too late' },
  });
});

test('an attempt is read as what it was started as, whatever the host runs by then', async (context) => {
  const { file, env } = installStub(
    context,
    `touch "$OUT/began"; until [ -e "$OUT/go" ]; do sleep 0.1; done; echo '${ENVELOPE}'`,
  );
  const { fake, agentd } = await createLab(context, ['false'], env);
  const task = fake.addTask();
  const first = agentd();
  await waitFor('the turn to begin', () => existsSync(file('began')));
  first.signal('SIGKILL');
  await first.exited;
  const second = agentd({ FLOTILLA_EXECUTOR: 'command' });
  await second.ready();
  writeFileSync(file('go'), '');
  const report = await waitFor('the report', () => task.attempts[0]?.reports[0]);
  expect(report).toMatchObject({ verb: 'complete', body: { resolution: 'said so', session_id: 's-1' } });
  expect(task.attempts).toHaveLength(1);
});

test('an env file that others may read by now stops the task with the remedy', async (context) => {
  const { file, env } = installStub(context, KEEP_ALL);
  const { fake, agentd } = await createLab(context, ['false'], env);
  await agentd().ready();
  chmodSync(file('keys.env'), 0o640);
  const task = fake.addTask();
  const report = await waitFor('the report', () => task.attempts[0]?.reports[0]);
  expect(report.body).toMatchObject({ kind: 'spawn', retryable: false });
  expect(report.body.message).toContain(`chmod 600 ${file('keys.env')}`);
});

type Stub = ReturnType<typeof installStub>;

test.for<[string, (stub: Stub) => Record<string, string> | void, RegExp]>([
  ['no openclaw', ({ file }) => rmSync(file('openclaw')), /there is no "openclaw" in PATH .*npm i -g openclaw/],
  [
    'a wrong path',
    ({ file }) => ({ FLOTILLA_OPENCLAW_BIN: file('nothing') }),
    /nothing is not an executable file.*FLOTILLA_OPENCLAW_BIN/,
  ],
  [
    'an old node',
    ({ file }) => script(file('node'), 'echo v22.19.0'),
    /needs Node 24\.16 .* is v22\.19\.0.*FLOTILLA_OPENCLAW_NODE/,
  ],
  ['node 25', ({ file }) => script(file('node'), 'echo v25.9.0'), /is v25\.9\.0/],
  ['another program', ({ file }) => script(file('openclaw'), 'echo hello'), /does not answer --version .*"hello"/],
  ['a broken openclaw', ({ file }) => script(file('openclaw'), 'exit 3'), /does not answer --version .*it failed/],
  ['keys for all to read', ({ file }) => chmodSync(file('keys.env'), 0o644), /others may read it: run chmod 600/],
  [
    'a wrong line of keys',
    ({ file }) => writeFileSync(file('keys.env'), 'sk-canary'),
    /Line 1 of .*keys\.env is not NAME=value/,
  ],
  ['a missing key', ({ file }) => writeFileSync(file('keys.env'), 'OTHER=1'), /refers to \$\{P_KEY\}, which/],
  ['JSON5', ({ file }) => writeFileSync(file('openclaw.json'), '{ // mine\n}'), /not plain JSON/],
  ['no model', ({ file }) => writeFileSync(file('openclaw.json'), '{}'), /No model .*FLOTILLA_OPENCLAW_MODEL/],
  ['no config', () => ({ FLOTILLA_OPENCLAW_CONFIG: '' }), /FLOTILLA_OPENCLAW_CONFIG is not set/],
  [
    'a node of another name',
    () => ({ FLOTILLA_OPENCLAW_NODE: '/usr/bin/env' }),
    /FLOTILLA_OPENCLAW_NODE cannot be used/,
  ],
])('%s is one sentence at start', async ([, spoil, sentence], context) => {
  const stub = installStub(context, 'true');
  const extra = spoil(stub) ?? {};
  const lab = await createLab(context, ['false'], stub.env);
  const agentd = lab.agentd(extra);
  expect(await agentd.exited).toEqual({ code: 2, signal: null });
  const lines = agentd
    .stderr()
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('{'));
  expect(lines).toEqual([expect.stringMatching(sentence)]);
  expect(agentd.stderr()).not.toContain('sk-canary');
});
