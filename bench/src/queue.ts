import { CEILING_TABLES } from './load/sql-loads.ts';
import type { Stage } from './stage.ts';

/** Tasks of one class more per claimable class: agents without tags match class 0 alone. */
const requiredTags = (classes: number, n: number): string[] => (classes === 1 ? [] : [`class-${n}`]);

/** Fills the queue with this many claimable tasks, spread over the classes; statistics fresh, as autovacuum keeps them. */
export const fillQueue = async ({ sql, client }: Stage, queued: number, classes = 1): Promise<void> => {
  await emptyQueue(sql);
  const samples = await Promise.all(
    Array.from({ length: classes }, (_, n) =>
      client.tasks.create({ body: { title: 'bench', required_tags: requiredTags(classes, n) } }),
    ),
  );
  await sql`
    insert into tasks (workspace_id, title, description, status, priority, tags, required_tags, queue_class_id, timeout_s, on_host_loss, review,
      metadata, created_by)
    select workspace_id, title, description, status, priority, tags, required_tags, queue_class_id, timeout_s, on_host_loss, review, metadata, created_by
    from tasks, generate_series(1, ${Math.ceil(queued / classes) - 1}) where id = any(${samples.map(({ id }) => id)}::bigint[])`;
  await sql.unsafe('vacuum analyze tasks');
};

export const emptyQueue = async (sql: Stage['sql']): Promise<void> => {
  await sql`
    truncate tasks, attempts, leases, attempt_streams, attempt_logs, attempt_usage, events, audit_events, idempotency_keys`;
};

/** Forgets who holds what, so that slots are free again; the tasks stay claimed. */
export const freeSlots = async (sql: Stage['sql']): Promise<void> => {
  await sql`truncate attempts, leases, attempt_streams, attempt_logs, attempt_usage`;
};

export const fillCeiling = async (sql: Stage['sql'], queued: number): Promise<void> => {
  await sql.unsafe(CEILING_TABLES);
  await sql`insert into raw_tasks (title) select 'bench' from generate_series(1, ${queued})`;
  await sql.unsafe('vacuum analyze raw_tasks');
};
