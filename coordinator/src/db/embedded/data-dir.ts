import { existsSync, chmodSync, mkdirSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { EmbeddedPostgresError, errorCode, fileSystemError } from './error.ts';

/** Creates the data directory if need be and returns its real path. */
export function prepareDataDir(requested: string): string {
  const path = resolve(requested);
  try {
    // Root's cluster belongs to another user, who must get through to it; nothing in here but `socket` is open to it.
    makeDirectories(path, process.getuid?.() === 0 ? 0o711 : 0o700);
    if (!statSync(path).isDirectory())
      throw new EmbeddedPostgresError(`${path} is not a directory.`, 'Choose another FLOTILLA_DATA_DIR.');
    refuseCluster(path);
    return realpathSync(path);
  } catch (error) {
    throw fileSystemError('create the data directory', path, error);
  }
}

/** mkdir's own `recursive` never returns where the system answers ENOENT to the last step, as in /proc. */
function makeDirectories(path: string, mode: number): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeDirectories(dirname(path), mode);
  try {
    mkdirSync(path);
    // Not left to mkdir, which subtracts the umask.
    chmodSync(path, mode);
  } catch (error) {
    // A coordinator that starts at the same time may have been faster.
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

function refuseCluster(path: string): void {
  if (!existsSync(join(path, 'PG_VERSION'))) return;
  const message = `${path} is itself a Postgres cluster, not a Flotilla data directory.`;
  throw new EmbeddedPostgresError(message, 'Set FLOTILLA_DATA_DIR to a directory of its own.');
}

export type ClusterState = { cluster_dir: string; exists: boolean };

/** Finds the cluster of this major version, and refuses to start an empty one beside the data of another version. */
export function inspectClusters(data_dir: string, version: string): ClusterState {
  const cluster_dir = join(data_dir, `postgres-${version}`);
  const others = clusterVersions(data_dir).filter((other) => other !== Number(version));
  const exists = existsSync(join(cluster_dir, 'PG_VERSION'));
  const newer = others.find((other) => other > Number(version));
  const other = newer ?? (exists ? undefined : others[0]);
  if (other !== undefined) {
    const message = `${data_dir} holds data of Postgres ${other} (postgres-${other}), and this Flotilla runs Postgres ${version}.`;
    const hint = `Use the Flotilla version that wrote it, or back it up there and restore it here; to start empty, move postgres-${other} away.`;
    throw new EmbeddedPostgresError(message, hint);
  }
  if (
    !exists &&
    existsSync(cluster_dir) &&
    (!statSync(cluster_dir).isDirectory() || readdirSync(cluster_dir).length > 0)
  ) {
    const message = `${cluster_dir} is not a Postgres cluster: it has no PG_VERSION file.`;
    throw new EmbeddedPostgresError(message, 'Move it away to start empty, or restore a backup.');
  }
  return { cluster_dir, exists };
}

/** The user id that owns the newest cluster here, or null when there is none. */
export function clusterOwner(data_dir: string): number | null {
  const cluster_dir = newestCluster(data_dir);
  return cluster_dir === null ? null : statSync(cluster_dir).uid;
}

/** The newest cluster here, or null when there is none. */
export function newestCluster(data_dir: string): string | null {
  const versions = clusterVersions(data_dir);
  return versions.length === 0 ? null : join(data_dir, `postgres-${Math.max(...versions)}`);
}

function clusterVersions(data_dir: string): number[] {
  const names = readdirSync(data_dir).map((name) => /^postgres-(\d+)$/.exec(name)?.[1]);
  const versions = names.filter((version) => version !== undefined).map(Number);
  return versions.filter((version) => isFilledDirectory(join(data_dir, `postgres-${version}`)));
}

function isFilledDirectory(path: string): boolean {
  try {
    return readdirSync(path).length > 0;
  } catch (error) {
    // Another user's cluster is closed to us, and all the more there.
    return errorCode(error) === 'EACCES';
  }
}
