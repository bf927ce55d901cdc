import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import type { Facts } from './facts.ts';
import type { Scope } from './scope.ts';

export const ADMIN_TOKEN = 'flu_benchmark-admin-token-0123456789abcdef0123';
const ROOT = join(import.meta.dirname, '../..');
const SETPRIV = '/usr/bin/setpriv';
/** Longer than its own shutdown, that of its Postgres included. */
const STOP_MS = 30_000;

export type Running = { pid: number; started_ms: number; stop(): Promise<void> };

export const makeFolder = async (scope: Scope): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'flotilla-bench-'));
  await chmod(dir, 0o711); // under root the bundled Postgres runs as somebody else, who has to pass through here
  scope.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
};

/** Where the system can, the program is told to end when we die without a word; a group of its own keeps Ctrl-C for us. */
export const startProgram = (scope: Scope, argv: string[], env: Record<string, string>) => {
  const [file = '', ...args] = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'TERM', '--', ...argv] : argv;
  const { PATH = '', HOME = '', TMPDIR, FLOTILLA_GATE } = process.env;
  const inherited = {
    PATH,
    HOME,
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
    ...(FLOTILLA_GATE === undefined ? {} : { FLOTILLA_GATE }),
  };
  const child = spawn(file, args, {
    cwd: ROOT,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const stop = async () => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await once(child, 'exit');
    clearTimeout(timer);
  };
  scope.defer(stop);
  return { child, stop };
};

/** The first line of its log that tells of this event. */
const announced = async <T>(child: ChildProcess, event: string): Promise<T> => {
  for await (const line of createInterface({ input: child.stdout ?? process.stdin })) {
    const said = JSON.parse(line) as { event?: string };
    if (said.event !== event) continue;
    child.stdout?.resume(); // or it would wait for us to read the rest
    return said as T;
  }
  throw new Error(`${child.spawnargs.at(-1)} ended before it said "${event}"`);
};

const startDaemon = async <T>(
  scope: Scope,
  name: 'coordinator' | 'agentd',
  event: string,
  { env, flags = [] }: { env: Record<string, string>; flags?: string[] },
): Promise<Running & { said: T }> => {
  const began = performance.now();
  const { child, stop } = startProgram(scope, [process.execPath, ...flags, join(ROOT, name, 'dist/main.js')], env);
  const said = await announced<T>(child, event);
  return { pid: child.pid ?? 0, started_ms: performance.now() - began, stop, said };
};

export type CoordinatorOptions = { env?: Record<string, string>; flags?: string[] };

/** A coordinator with the bundled Postgres, as an operator runs it: only its log is quiet. */
export const startCoordinator = async (
  scope: Scope,
  data_dir: string,
  { env = {}, flags }: CoordinatorOptions = {},
) => {
  const given = {
    FLOTILLA_PORT: '0',
    FLOTILLA_DATA_DIR: data_dir,
    FLOTILLA_ADMIN_TOKEN: ADMIN_TOKEN,
    FLOTILLA_LOG_LEVEL: 'warn',
  };
  const options = { env: { ...given, ...env }, ...(flags === undefined ? {} : { flags }) };
  const running = await startDaemon<{ url: string }>(scope, 'coordinator', 'listening', options);
  return { ...running, url: running.said.url };
};

export const startAgentd = (scope: Scope, env: Record<string, string>) =>
  startDaemon<object>(scope, 'agentd', 'ready', {
    env: { FLOTILLA_LOG_LEVEL: 'warn', FLOTILLA_EXECUTOR: 'command', FLOTILLA_COMMAND: '["true"]', ...env },
  });

export const postgresOf = async (data_dir: string): Promise<Facts> => {
  const lock = await readFile(join(data_dir, 'postgres-18/postmaster.pid'), 'utf8');
  return { host: lock.split('\n')[4] ?? '', port: 5432, user: 'postgres', database: 'flotilla' };
};
