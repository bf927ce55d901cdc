import type { Deps } from '../../deps.ts';
import { recordEvents } from '../../events/record.ts';
import { hintedLoop } from '../../operations/background.ts';

const BATCH = 500;
/** Ends of 5 ms are looked at together. */
const COLLECT_MS = 5;

/** Puts deferred tasks back into the queue's index when their time has come. Served by tasks_deferred. */
const undefer = async (deps: Deps): Promise<void> => {
  const due = await deps.db.sql<{ queue_class_id: number | null }[]>`
    update tasks set deferred_until = null, key_blocked = false where id in (
      select id from tasks where deferred_until is not null and deferred_until <= flotilla_now() order by deferred_until limit ${BATCH} for update skip locked)
    returning queue_class_id`;
  for (const task of due) if (task.queue_class_id !== null) deps.hub.raise('work', task.queue_class_id, 1);
};

/**
 * Of each key that is free again, puts the first task that waited for it back into the queue. One per pass: when nobody
 * can take that one, the next pass adds the next. Served by tasks_key_blocked and leases_key.
 */
export const freeKeys = async (deps: Deps): Promise<void> => {
  const freed = await deps.db.sql<{ queue_class_id: number | null }[]>`
    update tasks set deferred_until = null, key_blocked = false where key_blocked and id in (
      select head.id from (select distinct workspace_id, concurrency_key from tasks where key_blocked) k
      cross join lateral (
        select id, concurrency_limit from tasks t
        where key_blocked and t.workspace_id = k.workspace_id and t.concurrency_key = k.concurrency_key
          and status in ('inbox', 'assigned') and deleted_at is null
        order by priority_rank, due_date nulls last, created_at, id limit 1) head
      where (select count(*) from leases l where l.workspace_id = k.workspace_id and l.concurrency_key = k.concurrency_key) < head.concurrency_limit)
    returning queue_class_id`;
  for (const task of freed) if (task.queue_class_id !== null) deps.hub.raise('work', task.queue_class_id, 1);
};

/** Fails what was not started by its time. Served by tasks_start_by. */
export const failLate = (deps: Deps): Promise<number> =>
  deps.db.transaction(async (db) => {
    const late = await db.sql<
      { id: number; workspace_id: number; version: number; assigned_agent_id: number | null }[]
    >`
      update tasks set status = 'failed', completed_at = flotilla_now(), deferred_until = null, asked_comment_id = null, key_blocked = false,
        version = version + 1, updated_at = flotilla_now(), failure = jsonb_build_object('kind', 'start_by', 'message',
          'It was not started by ' || to_char(start_by at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || ', as it had to be.')
      where id in (
        select id from tasks where start_by is not null and status in ('backlog', 'inbox', 'assigned') and start_by <= flotilla_now()
          and started_at is null and deleted_at is null order by start_by limit ${BATCH} for update skip locked)
      returning id, workspace_id, version, assigned_agent_id`;
    await recordEvents(
      db,
      late.map(({ id, workspace_id, version, assigned_agent_id }) => ({
        type: 'task.failed',
        entity_id: id,
        workspace_id,
        version,
        agent_id: assigned_agent_id,
        summary: { status: 'failed', kind: 'start_by' },
      })),
    );
    if (late.length > 0) db.afterCommit(() => deps.hub.raise('unsequenced'));
    return late.length;
  });

/** What becomes due by time or by another task's end; at once when this coordinator ended something. */
export const dueLoop = (deps: Deps, signal: AbortSignal): Promise<void> => {
  const work = async () => {
    await undefer(deps);
    await freeKeys(deps);
    while ((await failLate(deps)) === BATCH);
  };
  const look_ms = deps.config.FLOTILLA_SWEEP_MS;
  return hintedLoop(deps, { name: 'due', hint: 'key_freed', look_ms, collect_ms: () => COLLECT_MS }, work, signal);
};
