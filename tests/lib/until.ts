import { setTimeout as sleep } from 'node:timers/promises';

import { within } from '@flotilla/shared';

const LOOK_MS = 20;

type Truthy<T> = Exclude<T, null | undefined | false>;

/**
 * Looks until there is something, and answers it; the only way a test waits. A look that throws counts as nothing: while
 * a coordinator is down, its client throws. So does one that is not answered while there is time: what was waited for
 * is named before the test's own limit ends it without a word.
 */
export const until = async <T>(what: string, look: () => T | Promise<T>, within_ms = 30_000): Promise<Truthy<T>> => {
  const end = performance.now() + within_ms;
  let last = '';
  for (;;) {
    try {
      const value = await within(Math.max(end - performance.now(), LOOK_MS), 'it', Promise.resolve(look()));
      if (value !== null && value !== undefined && value !== false) return value as Truthy<T>; // just excluded
      last = '';
    } catch (error) {
      last = `; the last look: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > end) throw new Error(`waited ${within_ms} ms in vain for: ${what}${last}`);
    await sleep(LOOK_MS);
  }
};

/** Lets a stretch of time pass, for scenarios that are a stretch of time ("an outage of 6 s"). */
export const elapse = (ms: number): Promise<void> => sleep(ms);
