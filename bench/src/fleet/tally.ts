/** What a fleet did, counted as it happens; bounded however long it runs. */
export type Tally = {
  /** Connections that hosts tried to open, accepted or not, by second since the fleet began (the last hour). */
  opened: Map<number, number>;
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
    opened: new Map(),
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

/** The most that came in one second of these. */
export const busiest = (seconds: Map<number, number>, from: number, to: number): number =>
  Math.max(0, ...[...seconds].filter(([second]) => second >= from && second < to).map(([, count]) => count));
