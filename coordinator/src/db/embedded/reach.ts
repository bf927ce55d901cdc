import { chmodSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Account } from './accounts.ts';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError, tellingLines } from './error.ts';
import { findSetpriv, runToEnd, spawnAs, type RunAs, type RunResult } from './run-as.ts';

export type ReachOptions = {
  account: Account;
  drops_root: boolean;
  data_dir: string;
  binaries: Binaries;
  library_path: string | null;
  log: (line: string) => void;
  signal: AbortSignal | undefined;
};

/**
 * Finds out by trying how the cluster's user can enter the data directory and run the binaries. A clone in /root or in
 * a private temporary directory is closed to it; then the programs get one capability more, and only then.
 */
export async function findRunAs(options: ReachOptions): Promise<{ run_as: RunAs; version: string }> {
  const { account, drops_root, library_path } = options;
  const setpriv = findSetpriv();
  const plain: RunAs = { account, drops_root, library_path, setpriv, reads_everything: false };
  let result = await tryToRun(plain, options);
  let version = parseVersion(result);
  if (version !== null) return { run_as: plain, version };
  const closed = drops_root ? findClosedDirectory(account, [options.data_dir, options.binaries.postgres]) : null;
  if (drops_root && setpriv !== null) {
    makeExecutable(options.binaries);
    const capable: RunAs = { ...plain, reads_everything: true };
    result = await tryToRun(capable, options);
    version = parseVersion(result);
    if (version !== null) {
      options.log(
        `The user ${account.name} may not enter ${closed ?? options.data_dir}, so Postgres runs with the right to read every ` +
          'file (CAP_DAC_READ_SEARCH). To avoid that, set FLOTILLA_DATA_DIR to a directory that it can reach.',
      );
      return { run_as: capable, version };
    }
  }
  throw unreachable(options, closed, result);
}

function unreachable(options: ReachOptions, closed: string | null, result: RunResult): EmbeddedPostgresError {
  const name = options.account.name;
  const setpriv_missing = findSetpriv() === null;
  if (closed !== null) {
    const reason = setpriv_missing ? 'setpriv (util-linux) is not installed.' : tellingLines(result.output);
    const message = `Postgres runs as ${name}, which may not enter ${closed}, and a try with CAP_DAC_READ_SEARCH failed: ${reason}`;
    const hint = `Set FLOTILLA_DATA_DIR to a directory that ${name} can reach (such as /var/lib/flotilla), or open it: chmod o+x '${closed}'.`;
    return new EmbeddedPostgresError(message, hint);
  }
  if (/setpriv: |EPERM/.test(result.output)) {
    const message = `Root here may not run Postgres as the user ${name}: ${tellingLines(result.output)}`;
    return new EmbeddedPostgresError(
      message,
      'Start the coordinator as an ordinary user, or set DATABASE_URL to use your own Postgres.',
    );
  }
  const message = `The bundled Postgres (${options.binaries.postgres}) does not run here: ${tellingLines(result.output)}`;
  const hint = `Reinstall ${options.binaries.package_name}, or set DATABASE_URL to use your own Postgres.`;
  return new EmbeddedPostgresError(message, hint);
}

async function tryToRun(run_as: RunAs, options: ReachOptions): Promise<RunResult> {
  const script = 'cd -- "$1" && exec "$2" --version';
  const child = spawnAs(run_as, 'KILL', '/bin/sh', ['-c', script, 'sh', options.data_dir, options.binaries.postgres]);
  return await runToEnd(child, options.signal);
}

function parseVersion(result: RunResult): string | null {
  return /\(PostgreSQL\) (\d+)/.exec(result.output)?.[1] ?? null;
}

/** Installed under umask 077 the programs are executable for root alone, which no capability to read can mend. */
function makeExecutable(binaries: Binaries): void {
  for (const program of [binaries.postgres, binaries.initdb]) {
    try {
      const { mode } = statSync(program);
      if ((mode & 0o001) === 0) chmodSync(program, (mode & 0o7777) | 0o111);
    } catch {
      // A read-only node_modules: the attempt that follows tells whether it matters.
    }
  }
}

/** The first directory on the way to `paths` that the account may not enter; for the error message. */
function findClosedDirectory(account: Account, paths: string[]): string | null {
  for (const path of paths) {
    for (const directory of ancestors(path)) {
      const stat = statSync(directory);
      if (!stat.isDirectory()) continue;
      const shift = stat.uid === account.uid ? 6 : stat.gid === account.gid ? 3 : 0;
      if (((stat.mode >> shift) & 1) === 0) return directory;
    }
  }
  return null;
}

function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [...ancestors(parent), path];
}
