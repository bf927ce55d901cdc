import { every } from '@flotilla/shared';

import { describeError } from '../answers.ts';
import type { Deps } from '../deps.ts';
import { sweepWorkdirs } from '../task/workspace.ts';

/** Removes old workdirs from time to time; often enough for the shortest useful retention. */
export const runWorkdirSweep = (deps: Deps, signal: AbortSignal): Promise<void> =>
  every(() => sweepWorkdirs(deps), {
    name: 'workdirs',
    interval_ms: Math.min(600_000, Math.max(1_000, deps.config.workdir_retention_ms / 10)),
    signal,
    random: deps.random,
    onError: (name, error, retry_in_ms) =>
      deps.log.warn({ loop: name, retry_in_ms, error: describeError(error) }, 'a sweep failed'),
  });
