import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, fileSystemError } from './error.ts';

export type PostmasterPid = { pid: number; socket_dir: string; status: string };

function pathIn(cluster_dir: string): string {
  return join(cluster_dir, 'postmaster.pid');
}

/** Reads what the postmaster says of itself; null without the file, pid 0 from a damaged one. */
export function readPostmasterPid(cluster_dir: string): PostmasterPid | null {
  try {
    const lines = readFileSync(pathIn(cluster_dir), 'utf8').split('\n');
    return {
      pid: Number.parseInt(lines[0] ?? '', 10) || 0,
      socket_dir: lines[4] ?? '',
      status: (lines[7] ?? '').trim(),
    };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw fileSystemError('read', pathIn(cluster_dir), error);
  }
}

export function removePostmasterPid(cluster_dir: string): void {
  try {
    rmSync(pathIn(cluster_dir), { force: true });
  } catch (error) {
    throw fileSystemError('remove the stale lock', pathIn(cluster_dir), error);
  }
}
