import { closeSync, fsyncSync, lchownSync, mkdtempSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, basename } from 'node:path';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError, fileSystemError, hintForOutput, tellingLines } from './error.ts';
import { runToEnd, spawnAs, type RunAs } from './run-as.ts';

/**
 * Creates the cluster beside its place and renames it there when it is whole and on disk, so that a kill or a power cut
 * at any moment leaves either no cluster or a good one. Each attempt has a directory of its own, because the initdb
 * of a killed coordinator may live on for a moment.
 */
export async function initCluster(
  run_as: RunAs,
  binaries: Binaries,
  cluster_dir: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const init_dir = makeInitDir(run_as, cluster_dir);
  try {
    const args = [
      '-D',
      init_dir,
      '-U',
      'postgres',
      '--auth-local=peer',
      '--auth-host=reject',
      '--encoding=UTF8',
      '--locale=C',
      '--data-checksums',
    ];
    const result = await runToEnd(spawnAs(run_as, 'KILL', binaries.initdb, args), signal);
    if (result.code !== 0) {
      const message = `Cannot create a Postgres cluster in ${cluster_dir}: ${tellingLines(result.output)}`;
      throw new EmbeddedPostgresError(message, hintForOutput(result.output));
    }
    putInPlace(init_dir, cluster_dir);
  } catch (error) {
    removeTree(init_dir);
    throw error;
  }
}

/** Removes what interrupted attempts left; returns whether there was anything. */
export function removeUnfinished(cluster_dir: string): boolean {
  const prefix = `${basename(cluster_dir)}.init`;
  const names = readdirSync(dirname(cluster_dir)).filter((name) => name.startsWith(prefix));
  for (const name of names) removeTree(join(dirname(cluster_dir), name));
  return names.length > 0;
}

function makeInitDir(run_as: RunAs, cluster_dir: string): string {
  try {
    const init_dir = mkdtempSync(`${cluster_dir}.init-`);
    if (run_as.drops_root) lchownSync(init_dir, run_as.account.uid, run_as.account.gid);
    return init_dir;
  } catch (error) {
    throw fileSystemError('create the cluster directory', cluster_dir, error);
  }
}

function putInPlace(init_dir: string, cluster_dir: string): void {
  try {
    // initdb has synced all it wrote; what is left are the names.
    syncDirectory(init_dir);
    renameSync(init_dir, cluster_dir);
    syncDirectory(dirname(cluster_dir));
  } catch (error) {
    throw fileSystemError('put in place the cluster', cluster_dir, error);
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 });
  } catch {
    // An initdb about to end still writes there; its name is never used again, and the next start removes it.
  }
}
