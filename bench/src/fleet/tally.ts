/** What a fleet did, counted as it happens; bounded however long it runs. */
export type Tally = {
  /** Connections that somebody tried to open, accepted or not, by second since the fleet began (the last hour). */
  opened: Map<number, number>;
  counts: Record<Counted, number>;
  second(): number;
  add(what: Counted, count?: number): void;
  addOpened(): void;
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
  const opened = new Map<number, number>();
  return {
    opened,
    counts,
    second,
    add: (what, count = 1) => {
      counts[what] += count;
    },
    addOpened: () => {
      const now = second();
      opened.set(now, (opened.get(now) ?? 0) + 1);
      if (opened.size > KEPT_S) opened.delete(opened.keys().next().value ?? now);
    },
  };
};

/** The most that came in one second of these. */
export const busiest = (seconds: Map<number, number>, from: number, to: number): number =>
  Math.max(0, ...[...seconds].filter(([second]) => second >= from && second < to).map(([, count]) => count));
