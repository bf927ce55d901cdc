import type { Deps } from '../../deps.ts';

/**
 * For each agent, given by the classes it matches: is there a task that it might claim? One read for all who ask at the
 * same time. A claim locks the agent's row and commits; thousands of agents that wait would do so all day for nothing.
 * Served by tasks_queue.
 */
export const findReady = async (deps: Deps, asked: number[][]): Promise<boolean[]> => {
  const { sql } = deps.db;
  const class_ids = [...new Set(asked.flat())];
  const rows = await sql<{ id: number }[]>`
    select class.id from unnest(${class_ids}::bigint[]) as class (id)
    where exists (select 1 from tasks where queue_class_id = class.id and status in ('inbox', 'assigned') and deferred_until is null and deleted_at is null)`;
  const ready = new Set(rows.map(({ id }) => id));
  return asked.map((classes) => classes.some((id) => ready.has(id)));
};
