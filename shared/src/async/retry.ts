import { type Backoff, backoffDelay } from './backoff.ts';
import { sleep } from './sleep.ts';

export type RetryOptions = {
  signal: AbortSignal;
  /** Throws stay throws when this says false. */
  retryable: (error: unknown) => boolean;
  backoff: Backoff;
  /** Told before each wait; `attempt` counts from 0. */
  onRetry?: (error: unknown, attempt: number, delay_ms: number) => void;
  /** Milliseconds the other side asked for (Retry-After); waited on top of the jitter. */
  askedDelay?: (error: unknown) => number | null;
  random?: () => number;
};

/** Calls until it returns, a final error, or the abort (which rethrows the last error, or the abort reason). */
export const retry = async <T>(call: (signal: AbortSignal) => Promise<T>, options: RetryOptions): Promise<T> => {
  const { signal, retryable, backoff, onRetry, askedDelay, random } = options;
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await call(signal);
    } catch (error) {
      if (!retryable(error) || signal.aborted) throw error;
      const delay_ms = (askedDelay?.(error) ?? 0) + backoffDelay(attempt, backoff, random);
      onRetry?.(error, attempt, delay_ms);
      await sleep(delay_ms, signal);
    }
  }
};
