import { type Measured, median } from './load/measure.ts';

/** What one run of one side gave, in the unit of its metric. */
export type Sample = { value: number; p50_ms?: number; p99_ms?: number };

/** One side of a comparison: prepares what a run needs, then measures one bounded run. */
export type Side = { name: string; run(): Promise<Sample> };

export type Goal = { text: string; met(result: Result): boolean };

export type Metric = {
  /** What was measured, as the table names it. */
  metric: string;
  unit: string;
  /** One sentence: what the number means to a user. */
  means: string;
  goals?: Goal[];
};

export type Score = { name: string; value: number; p50_ms: number | null; p99_ms: number | null };
export type Result = Metric & { sides: Score[] };

/** Latencies only where single operations were timed. */
export const perSecond = ({ per_s, p50_ms, p99_ms }: Measured): Sample =>
  Number.isFinite(p50_ms) ? { value: per_s, p50_ms, p99_ms } : { value: per_s };
/** For what is about time: the median, with the tail beside it. */
export const halfTime = ({ p50_ms, p99_ms }: Measured): Sample => ({ value: p50_ms, p50_ms, p99_ms });

const medianOf = (values: (number | undefined)[]): number | null => {
  const given = values.filter((value) => value !== undefined);
  return given.length === 0 ? null : median(given);
};

/** Medians of what was measured; the first is ours. */
export const score = (metric: Metric, runs: { name: string; samples: Sample[] }[]): Result => ({
  ...metric,
  sides: runs.map(({ name, samples }) => ({
    name,
    value: median(samples.map(({ value }) => value)),
    p50_ms: medianOf(samples.map(({ p50_ms }) => p50_ms)),
    p99_ms: medianOf(samples.map(({ p99_ms }) => p99_ms)),
  })),
});

/**
 * Runs the sides in alternation (A B C, A B C, …), so that a machine that slows down slows all of them down. The first
 * side is ours; the others are what it is compared with.
 */
export const compare = async (metric: Metric, sides: Side[], rounds: number): Promise<Result> => {
  const runs = sides.map((side) => ({ side, name: side.name, samples: [] as Sample[] }));
  for (let round = 0; round < rounds; round++) {
    for (const { side, samples } of runs) samples.push(await side.run());
  }
  return score(metric, runs);
};

const scoreOf = ({ sides }: Result, name: string): Score => {
  const found = sides.find((side) => side.name === name);
  if (found === undefined) throw new Error(`there is no side ${name}`);
  return found;
};

export const ratio = (result: Result, name: string): number =>
  (result.sides[0]?.value ?? Number.NaN) / scoreOf(result, name).value;

/** A goal about ours against one of the others; unmet when there is no such figure. */
export const atLeast = (times: number, name: string): Goal => ({
  text: `≥${times} of ${name}`,
  met: (result) => ratio(result, name) >= times,
});

export const atMost = (times: number, name: string): Goal => ({
  text: `≤${times}× ${name}`,
  met: (result) => ratio(result, name) <= times,
});

export const limits = (text: string, met: (ours: Score) => boolean): Goal => ({
  text,
  met: ({ sides: [ours] }) => ours !== undefined && met(ours),
});
