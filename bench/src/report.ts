import type { Measured } from './load/measure.ts';
import { median } from './load/measure.ts';

/** One side of a comparison: prepares what a run needs, then measures one bounded run. */
export type Side = { name: string; run(): Promise<Measured> };

export type Result = {
  /** What was measured, as the table names it. */
  metric: string;
  unit: string;
  sides: { name: string; values: number[]; median: number; p50_ms: number; p99_ms: number }[];
};

/**
 * Runs the sides in alternation (A B C, A B C, …), so that a machine that slows down slows all of them down; medians of
 * the rounds. The first side is ours; the others are what it is compared with.
 */
export const compare = async (metric: string, unit: string, sides: Side[], rounds: number): Promise<Result> => {
  const runs = sides.map(({ name }) => ({ name, measured: [] as Measured[] }));
  for (let round = 0; round < rounds; round++) {
    for (const [index, side] of sides.entries()) runs[index]?.measured.push(await side.run());
  }
  return {
    metric,
    unit,
    sides: runs.map(({ name, measured }) => {
      const values = measured.map(({ per_s }) => per_s);
      const p50_ms = median(measured.map((m) => m.p50_ms));
      const p99_ms = median(measured.map((m) => m.p99_ms));
      return { name, values, median: median(values), p50_ms, p99_ms };
    }),
  };
};

const digits = (value: number): string => (value >= 100 ? String(Math.round(value)) : value.toPrecision(3));

/** One line per side, the ratio of ours to it at its end. */
export const print = ({ metric, unit, sides }: Result): void => {
  const ours = sides[0]?.median ?? Number.NaN;
  console.log(`\n${metric}`);
  for (const { name, median: value, p50_ms, p99_ms } of sides) {
    const ratio = name === sides[0]?.name ? '' : `ours is ${digits(ours / value)} of it`;
    console.log(
      `  ${name.padEnd(34)} ${digits(value).padStart(8)} ${unit}  p50 ${digits(p50_ms)} ms  p99 ${digits(p99_ms)} ms  ${ratio}`,
    );
  }
};
