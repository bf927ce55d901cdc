import { every } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import { backgroundLoop } from '../../operations/background.ts';

/** More of a class are not counted: whoever is woken and gets something may find more. */
const MOST = 1_000;

/**
 * Of some classes those with claimable tasks, and how many. A claim locks the agent's row and commits; thousands of agents
 * that wait would do so all day for nothing. Served by tasks_queue.
 */
const countReady = ({ db: { sql } }: Deps, class_ids: number[]) => sql<{ id: number; count: number }[]>`
  select class.id, ready.count from unnest(${class_ids}::bigint[]) as class (id) cross join lateral (
    select count(*)::int as count from (
      select 1 from tasks where queue_class_id = class.id and status in ('inbox', 'assigned') and deferred_until is null and deleted_at is null
      order by priority_rank, due_date nulls last, created_at, id limit ${MOST}) head
  ) ready where ready.count > 0`;

/** Wakes those who wait for what is there, whatever hints said: one look for all of them. */
export const glance = async (deps: Deps): Promise<void> => {
  await deps.classes.refresh(deps.db.sql);
  const class_ids = deps.desk.awaited(deps);
  if (class_ids.length === 0) return;
  for (const { id, count } of await countReady(deps, class_ids)) deps.desk.wake(deps, id, count);
};

export const glanceLoop = (deps: Deps, signal: AbortSignal): Promise<void> =>
  every(() => glance(deps), {
    name: 'glance',
    interval_ms: deps.config.FLOTILLA_RESCAN_MS,
    signal,
    ...backgroundLoop(deps),
  });
