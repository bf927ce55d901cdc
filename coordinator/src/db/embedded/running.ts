import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { newestCluster } from './data-dir.ts';
import { EmbeddedPostgresError } from './error.ts';
import { liveOwner } from './owner.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import { PORT } from './socket-dir.ts';
import type { Connection } from './start.ts';

const POLL_MS = 50;
/** Long enough for a coordinator that is starting its Postgres, or starting it again. */
const READY_LIMIT_MS = 30_000;

/**
 * How to reach the Postgres that a live coordinator runs on a data directory; null when no coordinator does. Touches
 * neither lock nor cluster. Throws when there is no cluster, instead of letting somebody start an empty one.
 */
export async function findRunningPostgres(
  requested: string,
  database: string,
  signal: AbortSignal,
): Promise<Connection | null> {
  const path = resolve(requested);
  const data_dir = existsSync(path) ? realpathSync(path) : null;
  const cluster_dir = data_dir === null ? null : newestCluster(data_dir);
  if (data_dir === null || cluster_dir === null) {
    const message = `There is no Flotilla database in ${path}.`;
    throw new EmbeddedPostgresError(
      message,
      "Set FLOTILLA_DATA_DIR to the coordinator's data directory, or DATABASE_URL to its database.",
    );
  }
  const started_at = performance.now();
  for (;;) {
    const pid = liveOwner(data_dir);
    if (pid === null) return null;
    const postmaster = readPostmasterPid(cluster_dir);
    if (postmaster?.status === 'ready') return { host: postmaster.socket_dir, port: PORT, user: 'postgres', database };
    if (performance.now() - started_at > READY_LIMIT_MS) {
      const message = `The coordinator (pid ${pid}) has ${data_dir}, but its Postgres is not ready.`;
      throw new EmbeddedPostgresError(message, 'Look at its log; try again when it runs, or after stopping it.');
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}
