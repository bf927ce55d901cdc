import { type Backoff, backoffDelay } from './backoff.ts';
import { sleep } from './sleep.ts';
import { within } from './within.ts';

export type EveryOptions = {
  name: string;
  interval_ms: number;
  /** Share of the interval that is random, so that processes started together drift apart. Default 0.1. */
  jitter?: number;
  signal: AbortSignal;
  /** A failed pass is reported here and tried again with back-off; a loop never dies of one bad pass. */
  onError: (name: string, error: unknown, delay_ms: number) => void;
  backoff?: Backoff;
  /** A pass that takes longer counts as failed and is left to itself: what it waits for may never answer. */
  deadline_ms?: number;
  /** Milliseconds of the first wait; 0 runs at once. Default: one interval. */
  first_ms?: number;
  random?: () => number;
};

/** Runs `pass` again and again until the signal aborts, one at a time (but see `deadline_ms`). */
export const every = async (pass: (signal: AbortSignal) => Promise<void>, options: EveryOptions): Promise<void> => {
  const { name, interval_ms, jitter = 0.1, signal, onError, random = Math.random } = options;
  const backoff = options.backoff ?? { min_ms: interval_ms, max_ms: Math.max(interval_ms, 30_000) };
  let failures = 0;
  await sleep(options.first_ms ?? interval_ms, signal);
  while (!signal.aborted) {
    let delay_ms = interval_ms * (1 - jitter + 2 * jitter * random());
    try {
      await (options.deadline_ms === undefined ? pass(signal) : within(options.deadline_ms, name, pass(signal)));
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      delay_ms = Math.max(delay_ms, backoffDelay(failures++, backoff, random));
      onError(name, error, delay_ms);
    }
    await sleep(delay_ms, signal);
  }
};
