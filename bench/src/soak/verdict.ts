import { median } from '../load/measure.ts';
import { HOT_TABLES, type Sample } from './sample.ts';

/** The first part of a run fills caches, pools and the young heap: nothing is concluded from it. */
const WARM_UP = 0.3;
/** Growth that matters: this much over the part that is judged, and this share of what it began with. */
const LEAK_MB = 12;
const LEAK_SHARE = 0.1;
/** Autovacuum lets a fifth of a small table die before it comes; these tables are small. */
const DEAD_ROWS = 20_000;
const BLOAT_MB = 16;
/** A row may be caught once in a state that the next moment ends; not three times in a row. */
const STUCK_SAMPLES = 3;

/** Theil–Sen: the median of the slopes between all pairs. A garbage collection or a burst does not move it. */
const slope = (samples: Sample[], read: (sample: Sample) => number): number => {
  const slopes: number[] = [];
  for (const [index, a] of samples.entries())
    for (const b of samples.slice(index + 1)) slopes.push((read(b) - read(a)) / Math.max(1, b.at_s - a.at_s));
  return slopes.length === 0 ? 0 : median(slopes);
};

const half = (samples: Sample[], which: 0 | 1): Sample[] => {
  const middle = Math.floor(samples.length / 2);
  return which === 0 ? samples.slice(0, middle) : samples.slice(middle);
};

const judgeMemory = (judged: Sample[]): string[] => {
  const seconds = (judged.at(-1)?.at_s ?? 0) - (judged[0]?.at_s ?? 0);
  const rss = median(half(judged, 0).map(({ rss_mb }) => rss_mb));
  // The heap is a saw; what stays after collections shows at its lowest points alone.
  const floor = ([0, 1] as const).map((which) => Math.min(...half(judged, which).map(({ heap_mb }) => heap_mb)));
  const grown = [
    { what: 'resident memory', from: rss, rise: slope(judged, ({ rss_mb }) => rss_mb) * seconds },
    { what: 'heap after collections', from: floor[0] ?? 0, rise: (floor[1] ?? 0) - (floor[0] ?? 0) },
  ];
  return grown.flatMap(({ what, from, rise }) =>
    rise < LEAK_MB || rise < from * LEAK_SHARE
      ? []
      : `the coordinator's ${what} grew by ${rise.toFixed(0)} MB in ${seconds} s, from about ${from.toFixed(0)} MB: a leak`,
  );
};

const judgeTables = (judged: Sample[]): string[] =>
  HOT_TABLES.flatMap((table) => {
    const dead = ([0, 1] as const).map((which) => median(half(judged, which).map(({ dead: all }) => all[table] ?? 0)));
    const size = ([0, 1] as const).map((which) => median(half(judged, which).map((s) => s.size_mb[table] ?? 0)));
    const said: string[] = [];
    if ((dead[1] ?? 0) > Math.max(DEAD_ROWS, 2 * (dead[0] ?? 0)))
      said.push(`dead rows of ${table} grow: ${dead.join(' → ')}; something holds vacuum back`);
    if ((size[1] ?? 0) > Math.max(BLOAT_MB, 1.5 * (size[0] ?? 0)))
      said.push(`${table} bloats: ${size.map((mb) => mb.toFixed(1)).join(' → ')} MB`);
    return said;
  });

const judgeStuck = (samples: Sample[]): string[] => {
  const names = new Set(samples.flatMap(({ stuck }) => Object.keys(stuck)));
  return [...names].flatMap((name) => {
    let longest = 0;
    let row = 0;
    for (const { stuck } of samples) {
      row = name in stuck ? row + 1 : 0;
      longest = Math.max(longest, row);
    }
    return longest >= STUCK_SAMPLES ? `stuck: ${name}, in ${longest} samples in a row` : [];
  });
};

/** Everything that is wrong with a run, one sentence each; empty when nothing is. */
export const judge = (samples: Sample[]): string[] => {
  const judged = samples.slice(Math.floor(samples.length * WARM_UP));
  return [...judgeMemory(judged), ...judgeTables(judged), ...judgeStuck(samples)];
};
