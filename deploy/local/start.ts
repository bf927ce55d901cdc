// `make start`: a whole Flotilla on this machine. Coordinator with its bundled Postgres, one agentd that joins with a
// one-time token, one sample task from the API to a result; then it stays up until Ctrl-C. With --once it ends there.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';

import { type Client, createClient } from '@flotilla/shared';

import { localCredential } from './credential.ts';
import { openclawWish } from './openclaw.ts';
import { EndedError, type Program, startProgram } from './programs.ts';
import { formatCost, runSampleTask } from './sample-task.ts';

const DEFAULT_PORT = 7700;
const AGENT_NAME = 'local';
/** agentd's exit code for settings that cannot work on this host; nothing has happened by then. */
const WRONG_SETTINGS = 2;

const say = (line: string) => process.stdout.write(`${line}\n`);
const step = (line: string) =>
  say(`${styleText('cyan', '▸', { stream: process.stdout, validateStream: true })} ${line}`);

const isFree = (port: number): Promise<boolean> =>
  new Promise((done) => {
    const probe = createServer().once('error', () => done(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)));
  });

const choosePort = async (): Promise<string> => {
  if (process.env.FLOTILLA_PORT !== undefined) return process.env.FLOTILLA_PORT;
  return (await isFree(DEFAULT_PORT)) ? String(DEFAULT_PORT) : '0';
};

const startCoordinator = async (data_dir: string, token: string) => {
  const start = (port: string) =>
    startProgram(
      'coordinator',
      'coordinator/dist/main.js',
      { FLOTILLA_DATA_DIR: data_dir, FLOTILLA_PORT: port, FLOTILLA_ADMIN_TOKEN: token },
      (line) => (line.event === 'listening' && typeof line.url === 'string' ? line.url : null),
    );
  const started = await start(await choosePort());
  // Again on the port it has, also when any free one was asked for: the agent and the person know that one.
  const again = () => start(new URL(started.ready).port);
  return { ...started, again };
};

const SAMPLE = fileURLToPath(new URL('sample-agent.mjs', import.meta.url));
const withSample = {
  FLOTILLA_EXECUTOR: 'command',
  FLOTILLA_COMMAND: JSON.stringify([process.execPath, SAMPLE]),
};

/** Joins the first time with a token made for it, and comes back as the same agent afterwards. */
const startAgent = async (client: Client, url: string, data_dir: string, executor: Record<string, string>) => {
  const state_dir = join(data_dir, 'agentd');
  mkdirSync(state_dir, { recursive: true, mode: 0o700 });
  const join_token_file = join(data_dir, 'join-token');
  if (!existsSync(join(state_dir, 'identity.json'))) {
    const { token } = await client.join_tokens.create({ body: { expires_in_s: 600, slots: 4 } });
    writeFileSync(join_token_file, `${token}\n`, { mode: 0o600 });
    chmodSync(join_token_file, 0o600);
    step('made a one-time join token');
  }
  return startProgram(
    'agentd',
    'agentd/dist/main.js',
    {
      FLOTILLA_URL: url,
      FLOTILLA_JOIN_TOKEN_FILE: join_token_file,
      FLOTILLA_STATE_DIR: state_dir,
      FLOTILLA_AGENT_NAME: AGENT_NAME,
      FLOTILLA_SLOTS: '2',
      ...executor,
    },
    (line) => (line.event === 'ready' ? true : null),
  );
};

/** OpenClaw where agentd says that it works here, else the sample program; says which, why, and what it may cost. */
const startBestAgent = async (client: Client, url: string, data_dir: string) => {
  const wish = openclawWish(process.env);
  if ('instead' in wish) {
    step(`executor: command with deploy/local/sample-agent.mjs (${wish.instead})`);
    return startAgent(client, url, data_dir, withSample);
  }
  try {
    const agent = await startAgent(client, url, data_dir, wish.settings);
    step(
      `executor: openclaw with ${wish.config}; the sample task asks its model and may cost money (FLOTILLA_EXECUTOR=command avoids that)`,
    );
    return agent;
  } catch (error) {
    if (!(error instanceof EndedError) || error.code !== WRONG_SETTINGS) throw error;
    step(`executor: command with deploy/local/sample-agent.mjs (OpenClaw does not work here: ${error.said})`);
    return startAgent(client, url, data_dir, withSample);
  }
};

const waitOnline = async (client: Client, signal: AbortSignal): Promise<void> => {
  for (const deadline = performance.now() + 30_000; ;) {
    const { agents } = await client.agents.list();
    if (agents.some((agent) => agent.name === AGENT_NAME && agent.status === 'online')) return;
    signal.throwIfAborted();
    if (performance.now() > deadline) throw new Error('the local agent did not come online within 30 s');
    await new Promise((done) => setTimeout(done, 50));
  }
};

const howToGoOn = (url: string, credential: { token: string; file: string; fresh: boolean }): void => {
  say('');
  say(`  API          ${url}/api/v1   (contract: ${url}/api/v1/openapi.json)`);
  say(
    credential.fresh
      ? `  admin token  ${credential.token}   (shown once; kept in ${credential.file})`
      : `  admin token  in ${credential.file}`,
  );
  say(`  CLI          FLOTILLA_URL=${url} FLOTILLA_TOKEN=$(cat '${credential.file}') node cli/dist/main.js status`);
  say('  add a host   the same, with: hosts add');
  say('  stop         Ctrl-C');
};

const run = async (once: boolean, signal: AbortSignal, running: Program[]): Promise<boolean> => {
  const data_dir = resolve(process.env.FLOTILLA_DATA_DIR ?? '.flotilla');
  const credential = localCredential(data_dir);
  step(`starting the coordinator with its own Postgres in ${data_dir}`);
  const coordinator = await startCoordinator(data_dir, credential.token);
  running.unshift(coordinator);
  const url = coordinator.ready;
  step(`coordinator listening on ${url}`);
  const client = createClient({ base_url: url, token: credential.token });
  const agent = await startBestAgent(client, url, data_dir);
  running.unshift(agent);
  await waitOnline(client, signal);
  step(`agent "${AGENT_NAME}" is online`);
  const task = await runSampleTask(client, step, signal);
  step(`${task.ref} ended: ${task.status}`);
  say(`  result | ${task.resolution ?? task.failure?.message ?? '(none)'}`);
  say(`  cost   | ${formatCost(task)}`);
  howToGoOn(url, credential);
  if (once) return task.status === 'done';
  await keepRunning(running, signal);
  return true;
};

/** Starts again what ends by itself, as a service manager would, until the signal aborts. */
const keepRunning = async (running: Program[], signal: AbortSignal): Promise<void> => {
  const stopped = new Promise<null>((done) => signal.addEventListener('abort', () => done(null), { once: true }));
  while (!signal.aborted) {
    const ended = await Promise.race([stopped, ...running.map((program) => program.exited.then(() => program))]);
    if (ended === null) return;
    step(`${ended.name} ended by itself; starting it again`);
    running[running.indexOf(ended)] = { ...(await ended.again()), again: ended.again };
  }
};

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort(new Error(name)));

// Stopped in this order: agentd first, so that it can still say that it leaves.
const running: Program[] = [];
try {
  const completed = await run(process.argv.includes('--once'), stop.signal, running);
  if (!completed) process.exitCode = 1;
} catch (error) {
  if (!stop.signal.aborted) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
} finally {
  if (running.length > 0) step('stopping');
  for (const program of running) await program.stop();
}
process.exit();
