import { randomInt } from 'node:crypto';

export type Random = {
  seed: number;
  /** In [0, 1). */
  next(): number;
  /** A whole number from `min` to `max`, both included. */
  between(min: number, max: number): number;
  pick<T>(items: readonly T[]): T;
};

/** mulberry32: small, and the same numbers for the same seed everywhere. */
export const createRandom = (seed: number): Random => {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const between = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    seed,
    next,
    between,
    pick: (items) => {
      if (items.length === 0) throw new Error('nothing to pick from');
      return items[between(0, items.length - 1)] as (typeof items)[number]; // in range by the line above
    },
  };
};

/** A fresh seed, or the one of FLOTILLA_TEST_SEED to run a failure again; printed, so that there is one. */
export const pickSeed = (scenario: string): number => {
  const given = Number(process.env.FLOTILLA_TEST_SEED);
  const seed = Number.isInteger(given) && given > 0 ? given : randomInt(1, 2 ** 31);
  console.log(`${scenario}: FLOTILLA_TEST_SEED=${seed}`);
  return seed;
};

/** Long versions of the scenarios, for `make chaos`. */
export const isLong = process.env.FLOTILLA_TEST_LONG === '1';
