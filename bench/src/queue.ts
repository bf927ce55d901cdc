import postgres from 'postgres';

import { CEILING_TABLES } from './load/sql-loads.ts';
import type { Stage } from './stage.ts';

const TAGS = Array.from({ length: 10 }, (_, n) => `tag-${n}`);

/** Agents that match every class; without tags they match the one that demands none. */
export const agentTags = (classes: number): string[] => (classes === 1 ? [] : TAGS);

/** What the tasks of each class demand: none, or one of the pairs and single ones of ten tags. */
const demands = (classes: number): string[][] =>
  classes === 1 ? [[]] : TAGS.flatMap((a, n) => TAGS.slice(n).map((b) => (a === b ? [a] : [a, b]))).slice(0, classes);

/** What runs leave behind. Beside it nothing points at a task. A loop of the coordinator may be in the way; it ends soon. */
const emptyRecords = async (sql: Stage['sql'], tries = 5): Promise<void> => {
  try {
    await sql`
      truncate attempts, leases, attempt_streams, attempt_logs, attempt_usage, event_batches, audit_events, idempotency_keys cascade`;
  } catch (error) {
    const deadlock = error instanceof postgres.PostgresError && error.code === '40P01';
    if (!deadlock || tries === 1) throw error;
    await emptyRecords(sql, tries - 1);
  }
};

/** One backlog task per class, which nobody claims: what the claimable ones are copied from. */
const makeSamples = async ({ sql, client }: Stage, classes: number): Promise<number[]> => {
  await emptyRecords(sql);
  await sql`delete from tasks`;
  const samples = await Promise.all(
    demands(classes).map((required_tags) =>
      client.tasks.create({ body: { title: 'bench', status: 'backlog', required_tags } }),
    ),
  );
  return samples.map(({ id }) => id);
};

export type Queue = {
  /** As many claimable tasks as before, or as wanted; all slots free, nothing of the last run left. */
  refill(wanted?: number): Promise<void>;
};

/** This many claimable tasks, spread over the classes. Refilling replaces what was taken, and leaves the rest alone. */
export const fillQueue = async (stage: Stage, queued: number, classes = 1): Promise<Queue> => {
  const { sql } = stage;
  const samples = await makeSamples(stage, classes);
  const refill = async (wanted = queued) => {
    await emptyRecords(sql);
    await sql`delete from tasks where status <> 'backlog' and (status <> 'inbox' or ${wanted} = 0)`;
    await sql`
      insert into tasks (workspace_id, title, description, status, priority, tags, required_tags, queue_class_id, timeout_s, on_host_loss, review,
        metadata, created_by)
      select workspace_id, title, description, 'inbox', priority, tags, required_tags, queue_class_id, timeout_s, on_host_loss, review, metadata, created_by
      from tasks sample, lateral (select count(*) as left_over from tasks t where t.queue_class_id = sample.queue_class_id and t.status = 'inbox') q,
        generate_series(1, ${Math.ceil(wanted / classes)} - q.left_over)
      where id = any(${samples}::bigint[])`;
    // Statistics and dead rows as autovacuum leaves them some seconds later.
    await sql.unsafe('vacuum analyze');
  };
  await refill();
  return { refill };
};

export const fillCeiling = async (sql: Stage['sql'], queued: number): Promise<void> => {
  await sql.unsafe(CEILING_TABLES);
  await sql`insert into raw_tasks (title) select 'bench' from generate_series(1, ${queued})`;
  await sql.unsafe('vacuum analyze raw_tasks');
};
