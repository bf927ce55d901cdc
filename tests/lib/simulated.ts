import { createSimulatedFleet, type Observer, type SimulatedFleet } from '@flotilla/bench';
import { expect } from 'vitest';

import { ADMIN_TOKEN } from './coordinator.ts';
import type { Sql } from './invariants.ts';
import { until } from './until.ts';

/** What the simulated programs themselves saw: how often each task was begun, and each report accepted. */
export type Sightings = { started: Map<number, number>; completed: Map<number, number>; observer: Observer };

export const createSightings = (): Sightings => {
  const started = new Map<number, number>();
  const completed = new Map<number, number>();
  const count = (to: Map<number, number>) => (id: number) => void to.set(id, (to.get(id) ?? 0) + 1);
  return { started, completed, observer: { started: count(started), completed: count(completed) } };
};

/** Registers a simulated fleet whose programs run this long. */
export const simulate = (
  url: string,
  options: { agents: number; seed: number; slots: number; min_ms: number; max_ms: number; observer: Observer },
): Promise<SimulatedFleet> => {
  const { agents, seed, slots, min_ms, max_ms, observer } = options;
  const work = { min_ms, max_ms, log_bytes: 100 };
  return createSimulatedFleet({ url, admin_token: ADMIN_TOKEN, agents, seed, slots, work, observer });
};

/** Waits until all tasks have ended, then: every acknowledged one is done, by one attempt, begun once and reported once. */
export const expectEachOnce = async (
  sql: Sql,
  created: readonly number[],
  { started, completed }: Sightings,
  within_ms: number,
): Promise<void> => {
  await until(
    `${created.length} tasks to be done`,
    async () => {
      const open = await sql`select id, status from tasks where status <> 'done' order by id limit 5`;
      if (open.length > 0) throw new Error(JSON.stringify(open));
      return true;
    },
    within_ms,
  );
  const stored = await sql`select id from tasks order by id`;
  expect(stored.map(({ id }) => Number(id))).toEqual(created.toSorted((x, y) => x - y));
  const twice = await sql`select id, attempts, stale_requeues from tasks where attempts <> 1 or stale_requeues <> 0`;
  expect([...twice]).toEqual([]);
  // What is stored was accepted; that the program heard so may take another try.
  await until('all programs to be told', () => created.every((id) => started.has(id) && completed.has(id)), within_ms);
  const notOnce = (seen: Map<number, number>) => created.filter((id) => seen.get(id) !== 1);
  expect({ started: notOnce(started), completed: notOnce(completed) }).toEqual({ started: [], completed: [] });
};
