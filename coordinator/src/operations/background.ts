import { createAlarm, every, type EveryOptions, sleep } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Signal } from '../hub.ts';

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

type Hinted = {
  name: string;
  /** What the hub raises when there is something to do. */
  hint: Signal;
  /** Milliseconds after which it looks whatever hints say. */
  look_ms: number;
  /** Milliseconds in which hints are collected into one pass. */
  collect_ms: () => number;
};

/** Works on a hint, or after a while, for whatever was missed, until the signal aborts. */
export const hintedLoop = async (
  deps: Deps,
  { name, hint, look_ms, collect_ms }: Hinted,
  work: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> => {
  const hinted = createAlarm();
  const off = deps.hub.on(hint, () => hinted.ring());
  const pass = async () => {
    await hinted.sleep(look_ms, signal);
    await sleep(collect_ms(), signal);
    hinted.forget();
    await work();
  };
  const backoff = { min_ms: 200, max_ms: 5_000 };
  await every(pass, { name, interval_ms: 1, first_ms: 0, signal, ...backgroundLoop(deps), backoff });
  off();
};
