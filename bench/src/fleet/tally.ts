/** What a fleet did, counted as it happens; bounded however long it runs. */
export type Tally = {
  /** Connections that were accepted, by second since the fleet began (the last hour). */
  connects: Map<number, number>;
  /** Answers ≥500, by second likewise. */
  server_errors: Map<number, number>;
  counts: Record<Counted, number>;
  second(): number;
  add(what: Counted, count?: number): void;
  addSecond(to: Map<number, number>): void;
};

const COUNTED = [
  'requests',
  'connects',
  'connects_refused',
  'server_errors',
  'beats',
  'claims',
  'tasks_claimed',
  'tasks_completed',
  'tasks_cancelled',
  'leases_lost',
  'crashes',
  'returns',
  'created',
] as const;
export type Counted = (typeof COUNTED)[number];

const KEPT_S = 3_600;

export const createTally = (): Tally => {
  const began = performance.now();
  const counts = Object.fromEntries(COUNTED.map((what) => [what, 0])) as Tally['counts']; // exactly these keys
  const second = () => Math.floor((performance.now() - began) / 1000);
  return {
    connects: new Map(),
    server_errors: new Map(),
    counts,
    second,
    add: (what, count = 1) => {
      counts[what] += count;
    },
    addSecond: (to) => {
      const now = second();
      to.set(now, (to.get(now) ?? 0) + 1);
      if (to.size > KEPT_S) to.delete(to.keys().next().value ?? now);
    },
  };
};

/**
 * How evenly something came: the busiest second against the mean of the seconds from the first one until 95 % had come (a
 * few stragglers must not make the rest look like a burst).
 */
export const peakToMean = (seconds: Map<number, number>, from: number, to: number): { peak: number; mean: number } => {
  const values = [...seconds].filter(([second]) => second >= from && second < to);
  if (values.length === 0) return { peak: 0, mean: 0 };
  const total = values.reduce((sum, [, count]) => sum + count, 0);
  let came = 0;
  const last = values.find(([, count]) => (came += count) >= 0.95 * total)?.[0] ?? from;
  return { peak: Math.max(...values.map(([, count]) => count)), mean: came / (last - (values[0]?.[0] ?? from) + 1) };
};
