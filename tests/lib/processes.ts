import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import { elapse, until } from './until.ts';

export type Ended = { code: number | null; signal: NodeJS.Signals | null };

export type Program = {
  pid: number;
  /** Everything it said so far, stdout and stderr. */
  stdout(): string;
  stderr(): string;
  exited: Promise<Ended>;
  running(): boolean;
  kill(signal: NodeJS.Signals): void;
};

/** Starts one of our programs as a user would; its output is kept for the report of a failure. */
export const startProgram = (argv: readonly string[], env: Record<string, string>): Program => {
  const [file = '', ...args] = argv;
  const { PATH = '', HOME = '', TMPDIR, FLOTILLA_GATE } = process.env;
  const inherited = {
    PATH,
    HOME,
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
    ...(FLOTILLA_GATE === undefined ? {} : { FLOTILLA_GATE }),
  };
  const child = spawn(file, args, {
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  let ended = false;
  // `exit`, not `close`: a Postgres that outlives a killed coordinator holds the pipes open.
  const exited = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      ended = true;
      resolve({ code, signal });
    });
  });
  return {
    pid: child.pid ?? 0,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    exited,
    running: () => !ended,
    kill: (signal) => void child.kill(signal),
  };
};

const readProc = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return ''; // ended meanwhile
  }
};

const folderOf = (pid: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
};

const isAlive = (pid: number): boolean => !/^State:\s+[ZX]/m.test(readProc(pid, 'status') || 'State: X');

/** What a process was started as, for messages. */
export const titleOf = (pid: number): string => readProc(pid, 'cmdline').replaceAll('\0', ' ').trim().slice(0, 120);

/**
 * Every process that has to do with a directory: ours and their tasks name it in their environment, a Postgres works in
 * it. Nothing gets away by setsid or a double fork.
 */
export const processesOf = (dir: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter(
      (pid) =>
        isAlive(pid) && (readProc(pid, 'environ').includes(`${dir}/`) || `${folderOf(pid)}/`.startsWith(`${dir}/`)),
    );

/** The processes that a process started, and that still live under it. */
export const childrenOf = (parent: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/.*\) /s, '').split(' ')[1] === String(parent);
      } catch {
        return false; // ended meanwhile
      }
    });

/** Signals a process that may be gone. */
export const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself.
  }
};

/** Ends all of them: INT first, which is what lets a Postgres clean up, then KILL until none is left. */
export const endProcessesOf = async (dir: string): Promise<void> => {
  const pids = processesOf(dir);
  if (pids.length === 0) return;
  for (const pid of pids) {
    signal(pid, 'SIGCONT');
    signal(pid, 'SIGINT');
  }
  for (let looks = 0; looks < 50 && processesOf(dir).length > 0; looks++) await elapse(20);
  await until(`the end of all processes of ${dir}`, () => {
    const left = processesOf(dir);
    for (const pid of left) signal(pid, 'SIGKILL');
    return left.length === 0;
  });
};
