import { backoffDelay, sleep } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Attempt } from '../task/attempt.ts';
import { runAttempt } from '../task/run.ts';

const BACKOFF = { min_ms: 500, max_ms: 30_000 };

/**
 * Runs one attempt to its end. An error (a full disk, say) stops this run and no other; it begins again from the files,
 * exactly as after a restart.
 */
const drive = async (deps: Deps, attempt: Attempt, signal: AbortSignal): Promise<void> => {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      await runAttempt(deps, attempt, signal);
      if (signal.aborted) return;
      deps.attempts.delete(attempt.key);
      deps.standing.changed.notify();
      return;
    } catch (error) {
      const retry_in_ms = backoffDelay(failures, BACKOFF, deps.random);
      deps.log.error(
        { attempt: attempt.key, retry_in_ms, error: String(error), stack: (error as Error).stack },
        'an attempt met trouble on this host',
      );
      await sleep(retry_in_ms, signal);
    }
  }
};

/** Runs every attempt in the registry, those found at start and those claimed later, side by side. */
export const runAttempts = async (deps: Deps, signal: AbortSignal): Promise<void> => {
  const driven = new Map<string, Promise<void>>();
  while (!signal.aborted) {
    for (const [key, attempt] of deps.attempts) {
      if (!driven.has(key))
        driven.set(
          key,
          drive(deps, attempt, signal).finally(() => driven.delete(key)),
        );
    }
    await deps.standing.changed.wait(60_000, signal);
  }
  await Promise.all(driven.values());
};
