import type { Deps } from '../deps.ts';

/** Rows per statement: short transactions, so that retention never holds anything up. */
const BATCH = 1_000;

/** Idempotency keys are kept this long (protocol.md §1). */
const IDEMPOTENCY_MS = 24 * 3_600_000;

/** No upload takes this long: a request ends after minutes. */
const UPLOAD_MS = 3_600_000;

/** Deletes what outlived its retention, in small slices. Answers how many rows of each kind went. */
export const deleteExpired = async (deps: Deps): Promise<Record<string, number>> => {
  const { config } = deps;
  const { sql } = deps.db;
  const age = (ms: number) => sql`flotilla_now() - ${ms} * interval '1 ms'`;
  return {
    idempotency_keys: await inSlices(
      () => sql`delete from idempotency_keys where ctid in (
        select ctid from idempotency_keys where created_at < ${age(IDEMPOTENCY_MS)} limit ${BATCH})`,
    ),
    events: await inSlices(
      () => sql`delete from event_batches where id in (
        select id from event_batches where last_seq is not null and created_at < ${age(config.FLOTILLA_EVENT_RETENTION_MS)} order by last_seq limit ${BATCH})`,
    ),
    logs: await inSlices(
      () => sql`delete from attempt_logs where id in (
        select l.id from attempt_logs l join attempts a on a.id = l.attempt_id
        where a.ended_at < ${age(config.FLOTILLA_LOG_RETENTION_MS)} limit ${BATCH})`,
    ),
    abandoned_uploads: await inSlices(
      () => sql`delete from task_attachments where id in (
        select id from task_attachments where completed_at is null and created_at < ${age(UPLOAD_MS)} limit ${BATCH})`,
    ),
    // Before their tasks, which would take all of them along in one statement.
    attachments: await inSlices(
      () => sql`delete from attachment_chunks where ctid = any(array(
        select c.ctid from attachment_chunks c join task_attachments f on f.id = c.attachment_id join tasks t on t.id = f.task_id
        where t.deleted_at < ${age(config.FLOTILLA_DELETED_RETENTION_MS)} limit ${BATCH}))`,
    ),
    tasks: await inSlices(
      () => sql`delete from tasks where id in (
        select id from tasks where deleted_at < ${age(config.FLOTILLA_DELETED_RETENTION_MS)} limit ${BATCH})`,
    ),
    join_tokens: await inSlices(
      () => sql`delete from join_tokens where id in (
        select id from join_tokens where used_at is null and expires_at < ${age(config.FLOTILLA_DELETED_RETENTION_MS)} limit ${BATCH})`,
    ),
    beats: await inSlices(
      () => sql`delete from agent_beats where agent_id in (
        select agent_id from agent_beats join agents on agents.id = agent_id where deleted_at < ${age(config.FLOTILLA_DELETED_RETENTION_MS)} limit ${BATCH})`,
    ),
  };
};

const inSlices = async (slice: () => PromiseLike<{ count: number }>): Promise<number> => {
  let total = 0;
  for (;;) {
    const { count } = await slice();
    total += count;
    if (count < BATCH) return total;
  }
};
