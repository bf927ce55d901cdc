/** What one run of one load did. Latencies in milliseconds. */
export type Measured = {
  count: number;
  seconds: number;
  per_s: number;
  p50_ms: number;
  p99_ms: number;
  max_ms: number;
};

const percentile = (sorted: ArrayLike<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

export const median = (values: readonly number[]): number =>
  percentile(
    values.toSorted((a, b) => a - b),
    0.5,
  );

/** Ends after this long or this many, whichever comes first. */
export type Bounds = { ms: number; count: number };

export const summarize = (count: number, seconds: number, latencies: readonly number[]): Measured => {
  const sorted = Float64Array.from(latencies).toSorted();
  const at = (share: number) => percentile(sorted, share);
  return { count, seconds, per_s: count / seconds, p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
};

/**
 * Runs `lanes` loops side by side until the bounds are reached. An operation answers how many units it did; 0 ends its
 * lane, for there is nothing left to do.
 */
export const measure = async (lanes: (() => Promise<number>)[], { ms, count }: Bounds): Promise<Measured> => {
  const latencies: number[] = [];
  let done = 0;
  const began = performance.now();
  const end = began + ms;
  let last = began;
  await Promise.all(
    lanes.map(async (operate) => {
      while (done < count && performance.now() < end) {
        const at = performance.now();
        const units = await operate();
        if (units === 0) return;
        last = performance.now();
        latencies.push(last - at);
        done += units;
      }
    }),
  );
  return summarize(done, (last - began) / 1000, latencies);
};
