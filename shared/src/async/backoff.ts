export type Backoff = { min_ms: number; max_ms: number };

/**
 * Exponential back-off with full jitter: uniform in [0, min(max, min·2^attempt)]. Full jitter spreads a returning fleet
 * best (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
 */
export const backoffDelay = (
  attempt: number,
  { min_ms, max_ms }: Backoff,
  random: () => number = Math.random,
): number => Math.round(random() * Math.min(max_ms, min_ms * 2 ** Math.min(attempt, 30)));
