import { stat, truncate } from 'node:fs/promises';

import { elapsedSince } from '../clock.ts';
import type { Deps } from '../deps.ts';
import { readIfPresent } from '../local/files.ts';
import { type Attempt, requestStop, setPhase } from './attempt.ts';
import { type Launched, readLaunch } from './launch.ts';
import { mustFence } from './lease.ts';
import { isRunning } from './process.ts';
import { readShimPid } from './shim.ts';

/** A log may be this much longer than its limit before the surplus is cut off: one cut per MiB, not per poll. */
const SURPLUS = 1024 * 1024;
/** An orphaned shim is looked at this often; its `exit` file at every poll. */
const ALIVE_CHECK_MS = 1000;

/** The shell's exit status of the executor; null while there is none. */
export const readExit = async ({ files }: Attempt): Promise<number | null> => {
  const raw = (await readIfPresent(files.exit))?.trim();
  return raw === undefined || !/^\d+$/.test(raw) ? null : Number(raw);
};

/**
 * Cuts off what nobody will read, so that a runaway log cannot fill the disk. The writers append, so they go on at the
 * new end; one byte above the limit stays as the sign that something is missing.
 */
const boundLogs = async ({ files, record }: Attempt): Promise<void> => {
  for (const path of [files.stdout, files.stderr]) {
    const size = await stat(path).then(
      (found) => found.size,
      () => 0,
    );
    if (size > record.max_log_bytes + SURPLUS) await truncate(path, record.max_log_bytes + 1);
  }
};

/** Decides whether the time is up, or the lease of a fenced attempt. */
const checkLimits = async (deps: Deps, attempt: Attempt): Promise<void> => {
  const launch = await readLaunch(attempt);
  const { plan, task } = attempt.record;
  // A program with a deadline of its own gets the time to keep it: its report of a timeout says more than ours.
  const limit_ms = task.timeout_s * 1000 + (plan.timeout_grace_ms ?? 0);
  if (launch !== null && elapsedSince(launch, deps.clock, deps.host.boot_id) > limit_ms) {
    await requestStop(deps, attempt, 'timeout', { detail: `It ran longer than its ${task.timeout_s} s.` });
  } else if (mustFence(deps, attempt)) {
    await requestStop(deps, attempt, 'fence');
  }
};

/** Looks whether the shim is still there. Its end without an `exit` file is the one thing an attempt cannot explain itself. */
const checkShim = async (deps: Deps, attempt: Attempt, launched: { error: Error | null } | null): Promise<void> => {
  const shim = await readShimPid(attempt.files);
  if (shim === null) {
    if (launched !== null)
      await requestStop(deps, attempt, 'no_shim', {
        detail: launched.error?.message ?? 'The shim ended before its first act.',
      });
    return;
  }
  if (attempt.phase === 'claimed') {
    setPhase(deps, attempt, 'running');
    deps.crash('shim.seen');
  }
  // Its last act is the file: gone is only lost when the file is still not there after we saw it gone.
  if ((await isRunning(shim)) || (await readExit(attempt)) !== null) return;
  const launch = await readLaunch(attempt);
  await requestStop(
    deps,
    attempt,
    launch !== null && launch.boot_id !== deps.host.boot_id ? 'host_restart' : 'shim_lost',
  );
};

/**
 * Watches a running attempt until its executor ended or it has to be stopped. A decision that is already on disk wins
 * at once; otherwise a result that is there wins over any later decision.
 */
export const watchAttempt = async (
  deps: Deps,
  attempt: Attempt,
  launched: Launched | null,
  signal: AbortSignal,
): Promise<'exited' | 'stopping' | 'detached'> => {
  let shim_ended: { error: Error | null } | null = null;
  void launched?.ended.then((error) => {
    shim_ended = { error };
    attempt.changed.notify();
  });
  let alive_checked_ms = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    if (attempt.intent !== null) return 'stopping';
    const starting = attempt.phase === 'claimed';
    // Before its end is looked at, so that a task of a few milliseconds still counts as started.
    if (starting) await checkShim(deps, attempt, shim_ended);
    if ((await readExit(attempt)) !== null) return 'exited';
    const now = deps.clock.uptime_ms();
    if (shim_ended !== null || now - alive_checked_ms >= ALIVE_CHECK_MS) {
      alive_checked_ms = now;
      await checkShim(deps, attempt, shim_ended);
    }
    await checkLimits(deps, attempt);
    await boundLogs(attempt);
    // While the shim has not reported itself, look sooner: its first act takes a few milliseconds.
    if (attempt.intent === null)
      await attempt.changed.wait(attempt.phase === 'claimed' ? 20 : deps.config.log_poll_ms, signal);
  }
  return 'detached';
};
