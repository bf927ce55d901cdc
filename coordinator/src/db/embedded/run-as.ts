import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Account } from './accounts.ts';

/** How the Postgres programs are started: as whom, and with what. */
export type RunAs = {
  account: Account;
  /** We are root and change to `account`. */
  drops_root: boolean;
  /** Postgres also gets CAP_DAC_READ_SEARCH, to enter directories that are closed to `account`. */
  reads_everything: boolean;
  setpriv: string | null;
  library_path: string | null;
};

const SETPRIV_PATHS = ['/usr/bin/setpriv', '/bin/setpriv', '/run/current-system/sw/bin/setpriv'];

/** Where util-linux's setpriv is, or null (macOS, minimal images). */
export function findSetpriv(): string | null {
  return SETPRIV_PATHS.find((path) => existsSync(path)) ?? null;
}

/**
 * Starts a program as the cluster's user, in its own process group: a terminal's Ctrl-C must not reach Postgres
 * before the coordinator has drained. `death_signal` reaches it when this process is killed. The kernel sends it at
 * the end of the starting thread, so this must not be called from a worker thread.
 */
export function spawnAs(run_as: RunAs, death_signal: 'INT' | 'KILL', program: string, args: string[]): ChildProcess {
  const library_variable = process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH';
  const options = {
    cwd: '/',
    env: {
      PATH: '/usr/bin:/bin',
      HOME: '/',
      LC_ALL: 'C',
      TZ: 'UTC',
      ...(run_as.library_path === null ? {} : { [library_variable]: run_as.library_path }),
    },
    stdio: ['ignore', 'pipe', 'pipe'] satisfies ['ignore', 'pipe', 'pipe'],
    detached: true,
  };
  if (run_as.setpriv !== null) {
    return spawn(run_as.setpriv, [...setprivArgs(run_as, death_signal), '--', program, ...args], options);
  }
  const { uid, gid } = run_as.account;
  return spawn(program, args, run_as.drops_root ? { ...options, uid, gid } : options);
}

function setprivArgs(run_as: RunAs, death_signal: string): string[] {
  const args = ['--pdeathsig', death_signal, '--nnp'];
  if (run_as.drops_root) {
    args.push('--reuid', String(run_as.account.uid), '--regid', String(run_as.account.gid), '--clear-groups');
  }
  if (run_as.reads_everything) {
    args.push('--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search');
    // Without this bit access(2), with which Postgres checks its own files, ignores the capability.
    args.push('--securebits=+no_setuid_fixup');
  }
  return args;
}

export type RunResult = { code: number | null; output: string };

/** Runs a program to its end; an abort kills its whole group and throws the signal's reason. */
export async function runToEnd(child: ChildProcess, signal: AbortSignal | undefined): Promise<RunResult> {
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-8000);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const kill = (): void => killGroup(child.pid);
  signal?.addEventListener('abort', kill, { once: true });
  if (signal?.aborted) kill();
  try {
    const code = await new Promise<number | null>((resolve) => {
      child.once('error', (error) => {
        output += error.message;
        resolve(null);
      });
      child.once('close', (exit_code) => resolve(exit_code));
    });
    signal?.throwIfAborted();
    return { code, output };
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}
