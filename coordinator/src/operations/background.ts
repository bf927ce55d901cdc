import type { EveryOptions } from '@flotilla/shared';

import type { Deps } from '../deps.ts';

/** A pass is a few short statements; one that takes longer waits for an answer that the driver lost. */
const PASS_MS = 45_000;

/** What all background loops share: failures are counted and logged, and no pass can hang for ever. */
export const backgroundLoop = (deps: Deps): Pick<EveryOptions, 'onError' | 'deadline_ms'> => ({
  deadline_ms: PASS_MS,
  onError: (name, error, delay_ms) => {
    deps.metrics.loop_errors.inc({ loop: name });
    deps.log.warn({ loop: name, error, delay_ms }, 'a background pass failed; it is tried again');
  },
});
