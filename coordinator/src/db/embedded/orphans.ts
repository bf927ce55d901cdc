import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedPostgresError } from './error.ts';
import { readPostmasterPid, removePostmasterPid } from './postmaster-pid.ts';
import { findClusterProcesses } from './process-table.ts';

const POLL_MS = 10;
/** How long each signal, from polite to final, may take. SIGQUIT loses no committed data either. */
const STEPS: [signal: 'SIGINT' | 'SIGQUIT' | 'SIGKILL', patience_ms: number][] = [
  ['SIGINT', 10_000],
  ['SIGQUIT', 6_000],
  ['SIGKILL', 5_000],
];

/**
 * Ends whatever still runs of a cluster whose coordinator was killed and removes its lock. Returns a sentence about it,
 * or null after a clean stop. The pid in the lock is believed only if that process works on this cluster, because a
 * pid may be a stranger's by now. Backends that outlived their postmaster end too: beside a new one they would corrupt the data.
 */
export async function stopOrphans(
  cluster_dir: string,
  cluster_name: string,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  const lock = readPostmasterPid(cluster_dir);
  if (lock === null) return null;
  const pids = findClusterProcesses(cluster_dir, cluster_name);
  for (const [name, patience_ms] of STEPS) {
    const alive = findClusterProcesses(cluster_dir, cluster_name);
    if (alive.length === 0) break;
    // The postmaster takes its backends along; without one each must be told.
    const postmaster = alive.includes(lock.pid) && name !== 'SIGKILL';
    for (const pid of postmaster ? [lock.pid] : alive) send(pid, postmaster || name === 'SIGKILL' ? name : 'SIGQUIT');
    await waitUntilGone(cluster_dir, cluster_name, patience_ms, signal);
  }
  const left = findClusterProcesses(cluster_dir, cluster_name);
  if (left.length > 0) {
    const message = `Postgres processes of an earlier coordinator (pid ${left.join(', ')}) do not end and hold ${cluster_dir}.`;
    throw new EmbeddedPostgresError(message, `End them by hand: kill -9 ${left.join(' ')}.`);
  }
  removePostmasterPid(cluster_dir);
  if (pids.includes(lock.pid)) return `Stopped an orphaned Postgres (pid ${lock.pid}) of an earlier coordinator.`;
  return pids.length > 0
    ? `Stopped ${pids.length} Postgres processes that had outlived their postmaster (pid ${lock.pid}).`
    : `Removed the stale lock of a Postgres (pid ${lock.pid}) that did not stop cleanly.`;
}

async function waitUntilGone(
  cluster_dir: string,
  cluster_name: string,
  patience_ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const started_at = performance.now();
  while (findClusterProcesses(cluster_dir, cluster_name).length > 0 && performance.now() - started_at < patience_ms) {
    await sleep(POLL_MS, undefined, { signal });
  }
}

function send(pid: number, name: 'SIGINT' | 'SIGQUIT' | 'SIGKILL'): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone in between; what is left is seen by the caller, which looks again.
  }
}
