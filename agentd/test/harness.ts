import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { inject, type TestContext } from 'vitest';

import { FakeCoordinator } from './fake-coordinator.ts';

/** Waits for a condition; the only way a test waits. */
export const waitFor = async <T>(
  what: string,
  look: () => T | Promise<T>,
  limit_ms = 15_000,
): Promise<NonNullable<T>> => {
  const end = Date.now() + limit_ms;
  for (;;) {
    const value = await look();
    if (value !== null && value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`waited ${limit_ms} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
};

/** Processes that have this directory in their environment: everything agentd ever started for it. */
export const processesOf = (state_dir: string): number[] =>
  readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // A zombie has an empty environment.
      return readFileSync(`/proc/${name}/environ`, 'latin1').includes(`FLOTILLA_WORKDIR=${state_dir}/`)
        ? [Number(name)]
        : [];
    } catch {
      return [];
    }
  });

export const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

const kill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // ended by itself
  }
};

export type Agentd = {
  pid: number;
  stdout: () => string;
  stderr: () => string;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  ready: () => Promise<void>;
  signal: (signal: NodeJS.Signals) => void;
};

export type Lab = {
  fake: FakeCoordinator;
  state_dir: string;
  agentd: (env?: Record<string, string | undefined>) => Agentd;
  /** Every line on stderr of every agentd of this lab. */
  logs: () => string;
};

const launch = (env: Record<string, string | undefined>): Agentd => {
  const child: ChildProcess = spawn(process.execPath, [inject('agentd')], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  // `close` comes after the pipes are read to their end: what was said last is in `stderr` then.
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    exited,
    ready: async () =>
      void (await waitFor(`ready of agentd; it said: ${stderr}`, () => stdout.includes('"event":"ready"'))),
    signal: (signal) => child.kill(signal),
  };
};

const openLab = async (
  command: readonly string[],
  given: Record<string, string>,
): Promise<Lab & { close: () => Promise<void> }> => {
  const fake = await new FakeCoordinator().start();
  const state_dir = await mkdtemp(join(tmpdir(), 'flotilla-agentd-'));
  const started: Agentd[] = [];
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    FLOTILLA_URL: fake.url,
    FLOTILLA_JOIN_TOKEN: fake.join_token,
    FLOTILLA_STATE_DIR: state_dir,
    FLOTILLA_AGENT_NAME: 'tester',
    FLOTILLA_COMMAND: JSON.stringify(command),
    FLOTILLA_LOG_POLL_MS: '25',
    FLOTILLA_KILL_GRACE_MS: '400',
    ...given,
  };
  return {
    fake,
    state_dir,
    agentd: (extra = {}) => {
      const agentd = launch({ ...env, ...extra });
      started.push(agentd);
      return agentd;
    },
    logs: () => started.map(({ stderr }) => stderr()).join('\n---\n'),
    close: async () => {
      for (const agentd of started) agentd.signal('SIGKILL');
      await Promise.all(started.map(({ exited }) => exited));
      // Each look again: one may have been between fork and exec, where it does not show.
      await waitFor('the processes of the test to be gone', () => {
        const left = processesOf(state_dir).filter(isAlive);
        left.forEach(kill);
        return left.length === 0;
      });
      await fake.stop();
      await rm(state_dir, { recursive: true, force: true });
    },
  };
};

/**
 * A coordinator, a state directory and agentds on it; all gone, with every process, when the test ends. A failed test
 * shows what its agentds said.
 */
export const createLab = async (
  { task, onTestFinished }: TestContext,
  command: readonly string[],
  given: Record<string, string> = {},
): Promise<Lab> => {
  const lab = await openLab(command, given);
  onTestFinished(async () => {
    const paths = lab.fake.requests.slice(-30).map(({ path }) => path);
    if (task.result?.state === 'fail') console.log(`${task.name}\n${lab.logs()}\n${paths.join(' ')}`);
    await lab.close();
  });
  return lab;
};

/** A command that runs a shell script. */
export const script = (text: string): string[] => ['sh', '-c', text];
