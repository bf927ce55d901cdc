import type { Task } from '@flotilla/shared';
import { expect } from 'vitest';

import type { Fleet } from './fleet.ts';
import { expectedWork } from './ledger.ts';
import { until } from './until.ts';

/** Tasks for the program `work`: how many lines each one prints, by task. */
export type Work = Map<number, number>;

type Extra = Omit<Parameters<Fleet['createTask']>[0], 'title'>;

/** Creates one task that prints so many lines with such a pause (in seconds) between them. */
export const addWork = async (
  fleet: Fleet,
  work: Work,
  lines: number,
  pause: string,
  extra: Extra = {},
): Promise<Task> => {
  const task = await fleet.createTask({ title: `${lines} ${pause}`, ...extra });
  work.set(task.id, lines);
  return task;
};

/** Waits until all of an attempt's log has come: it may be behind the result. */
export const logComplete = (fleet: Fleet, id: number): Promise<boolean> =>
  until(
    `the whole log of task ${id}`,
    async () => {
      const { attempts } = await fleet.client.tasks.attempts({ params: { id } });
      const log = attempts[0]?.log ?? {};
      if (Object.values(log).every(({ size, final_size, truncated }) => size === final_size && !truncated)) return true;
      throw new Error(JSON.stringify({ agent: attempts[0]?.agent, log }));
    },
    30_000,
  );

/** Every task is done with the result, usage and log of its newest attempt as the program made them, to the byte. */
export const expectDone = async (fleet: Fleet, work: Work, within_ms = 60_000): Promise<Task[]> => {
  const tasks = await fleet.ended([...work.keys()], within_ms);
  for (const task of tasks) {
    const { stdout, stderr, resolution, result } = expectedWork(task.id, work.get(task.id) ?? -1);
    expect(task).toMatchObject({ status: 'done', resolution, result });
    await logComplete(fleet, task.id);
    expect(await fleet.log(task.id, 'stdout')).toBe(stdout);
    expect(await fleet.log(task.id, 'stderr')).toBe(stderr);
  }
  return tasks;
};

/** The programs' own count: each task was begun exactly once, and Flotilla says the same. */
export const expectOnce = (fleet: Fleet, tasks: readonly Task[]): void => {
  const counts = tasks.map(({ id, attempts, stale_requeues }) => ({
    id,
    starts: fleet.ledger.starts(id),
    attempts,
    stale_requeues,
  }));
  expect(
    counts.filter(({ starts, attempts, stale_requeues }) => starts !== 1 || attempts !== 1 || stale_requeues !== 0),
  ).toEqual([]);
};
