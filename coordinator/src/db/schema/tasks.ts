import { attemptStates, onHostLoss, priorities, taskStatuses } from '@flotilla/shared';
import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  pgSequence,
  pgTable,
  smallint,
  text,
  unique,
} from 'drizzle-orm/pg-core';

import { agents } from './agents.ts';
import { bytea, id, ref, timestamptz } from './columns.ts';
import { workspaces } from './tenancy.ts';

const now = sql`flotilla_now()`;
const oneOf = (column: string, values: readonly string[]) =>
  sql.raw(`${column} in (${values.map((v) => `'${v}'`).join(', ')})`);

/** Fencing numbers: one global sequence, so that a higher epoch is always the younger claim. */
export const epochs = pgSequence('epochs', { startWith: 1, cache: 1 });

/** Interned (workspace, kind, assigned agent or any, sorted required tags, executor): what an agent must match. */
export const queue_classes = pgTable(
  'queue_classes',
  {
    id: id(),
    workspace_id: ref()
      .notNull()
      .references(() => workspaces.id),
    kind: text().notNull(),
    assigned_agent_id: ref(),
    required_tags: text().array().notNull(),
    executor: text(),
  },
  (t) => [
    unique('queue_classes_key')
      .on(t.workspace_id, t.kind, t.assigned_agent_id, t.required_tags, t.executor)
      .nullsNotDistinct(),
    // What an agent matches: those for anybody, and those for it alone.
    index('queue_classes_anybody')
      .on(t.workspace_id)
      .where(sql`assigned_agent_id is null`),
    index('queue_classes_agent')
      .on(t.assigned_agent_id)
      .where(sql`assigned_agent_id is not null`),
    foreignKey({ columns: [t.workspace_id, t.assigned_agent_id], foreignColumns: [agents.workspace_id, agents.id] }),
  ],
);

/** The queue of record. */
export const tasks = pgTable(
  'tasks',
  {
    id: id(),
    workspace_id: ref()
      .notNull()
      .references(() => workspaces.id),
    title: text().notNull(),
    description: text().notNull().default(''),
    status: text().notNull(),
    priority: text().notNull().default('medium'),
    priority_rank: smallint()
      .notNull()
      .generatedAlwaysAs(sql`array_position(array['critical', 'high', 'medium', 'low'], priority)`),
    due_date: timestamptz(),
    tags: text().array().notNull().default([]),
    required_tags: text().array().notNull().default([]),
    assigned_to: text(),
    assigned_agent_id: ref(),
    /** Null: nobody can match it (backlog never, an unknown name not yet). */
    queue_class_id: ref().references(() => queue_classes.id),
    claimed_by_agent_id: ref(),
    /** Epoch of the latest claim; stays after the claim ended, so that a late success can still be judged. */
    epoch: bigint({ mode: 'number' }),
    executor: text(),
    model: text(),
    timeout_s: integer().notNull().default(3600),
    not_before: timestamptz(),
    /** It fails when it has not started by then. */
    start_by: timestamptz(),
    /** Of one key at most `concurrency_limit` tasks of the workspace run at a time. */
    concurrency_key: text(),
    concurrency_limit: integer().notNull().default(1),
    /** A claim met it while its key was in use: out of the queue (`deferred_until`) until the key is free. */
    key_blocked: boolean().notNull().default(false),
    /** Out of the queue's index until then: back-off, rate-limit resets, not_before. A loop clears it when due; infinity: a question is open. */
    deferred_until: timestamptz(),
    on_host_loss: text().notNull().default('requeue'),
    review: text().notNull().default('auto'),
    metadata: jsonb().notNull().default({}),
    attempts: integer().notNull().default(0),
    dispatch_attempts: integer().notNull().default(0),
    stale_requeues: integer().notNull().default(0),
    rejections: integer().notNull().default(0),
    /** Of the last rejection, for the next prompt. */
    feedback: text(),
    /** The question it waits for an answer to: out of the queue (`deferred_until` is infinity) until then. */
    asked_comment_id: ref(),
    /** A question of it was answered: the next prompt quotes what its comments say. */
    answered: boolean().notNull().default(false),
    resolution: text(),
    result: jsonb(),
    failure: jsonb(),
    cancel_requested_at: timestamptz(),
    created_by: text().notNull(),
    created_at: timestamptz().notNull().default(now),
    updated_at: timestamptz().notNull().default(now),
    started_at: timestamptz(),
    completed_at: timestamptz(),
    deleted_at: timestamptz(),
    version: integer().notNull().default(1),
  },
  (t) => [
    unique('tasks_in_workspace').on(t.workspace_id, t.id),
    // Serves claim alone. Every other index that names `status` would tempt the planner away from the primary key.
    index('tasks_queue')
      .on(t.queue_class_id, t.priority_rank, t.due_date.asc().nullsLast(), t.created_at, t.id)
      .where(sql`status in ('inbox', 'assigned') and deferred_until is null and deleted_at is null`),
    index('tasks_deferred')
      .on(t.deferred_until)
      .where(sql`deferred_until is not null`),
    // None of the two is touched by a claim of a task without key and start_by.
    index('tasks_key_blocked')
      .on(t.workspace_id, t.concurrency_key, t.priority_rank, t.due_date.asc().nullsLast(), t.created_at, t.id)
      .where(sql`key_blocked`),
    index('tasks_start_by')
      .on(t.start_by)
      .where(sql`start_by is not null and status in ('backlog', 'inbox', 'assigned')`),
    index('tasks_unbound')
      .on(t.workspace_id, t.assigned_to)
      .where(sql`assigned_to is not null and assigned_agent_id is null`),
    // Not for claimed_by_agent_id: it is the agent of the live attempt, which is checked; each check costs a claim 8 µs.
    foreignKey({ columns: [t.workspace_id, t.assigned_agent_id], foreignColumns: [agents.workspace_id, agents.id] }),
    check('tasks_status', oneOf('status', taskStatuses)),
    check('tasks_priority', oneOf('priority', priorities)),
    check('tasks_on_host_loss', oneOf('on_host_loss', onHostLoss)),
    check('tasks_claim', sql`(status = 'in_progress') = (claimed_by_agent_id is not null)`),
  ],
);

export const attempts = pgTable(
  'attempts',
  {
    id: id(),
    workspace_id: ref().notNull(),
    task_id: ref().notNull(),
    number: integer().notNull(),
    agent_id: ref().notNull(),
    claim_id: text(),
    epoch: bigint({ mode: 'number' }).notNull(),
    kind: text().notNull().default('task'),
    state: text().notNull().default('claimed'),
    prompt: text().notNull(),
    executor: text(),
    session_id: text(),
    exit_code: integer(),
    failure: jsonb(),
    /** SHA-256 of the accepted terminal report: the same report again is answered as before. */
    report_digest: bytea(),
    late_result: jsonb(),
    progress: jsonb(),
    input_tokens: bigint({ mode: 'number' }).notNull().default(0),
    output_tokens: bigint({ mode: 'number' }).notNull().default(0),
    cost_usd_micros: bigint({ mode: 'number' }),
    claimed_at: timestamptz().notNull(),
    started_at: timestamptz(),
    ended_at: timestamptz(),
  },
  (t) => [
    unique('attempts_in_workspace').on(t.workspace_id, t.id),
    unique('attempts_epoch').on(t.epoch),
    unique('attempts_number').on(t.task_id, t.number),
    // No index on what a start or an end changes: both stay HOT (fillfactor 70), where an end cost four index entries. The
    // live ones are those with a lease, at most one per task.
    foreignKey({ columns: [t.workspace_id, t.task_id], foreignColumns: [tasks.workspace_id, tasks.id] }).onDelete(
      'cascade',
    ),
    foreignKey({ columns: [t.workspace_id, t.agent_id], foreignColumns: [agents.workspace_id, agents.id] }),
    check('attempts_state', oneOf('state', attemptStates)),
  ],
);

/**
 * One row per live attempt. Renewals rewrite `expires_at` and `phase` alone; no index on either, so that they stay HOT
 * and expiry scans the table (it holds only what runs right now).
 */
export const leases = pgTable(
  'leases',
  {
    task_id: ref().primaryKey(),
    workspace_id: ref().notNull(),
    attempt_id: ref().notNull(),
    agent_id: ref().notNull(),
    epoch: bigint({ mode: 'number' }).notNull(),
    expires_at: timestamptz().notNull(),
    /** No renewal beyond: timeout_s plus the kill grace, so that a hung agentd cannot extend a task. */
    renewable_until: timestamptz().notNull(),
    /** `hold` tasks: when the waiting ends. */
    held_until: timestamptz(),
    phase: text().notNull().default('claimed'),
    /** Set: it was polled by hand. Calls that name the task and its epoch renew it by this much; beats need not. */
    call_lease_ms: bigint({ mode: 'number' }),
    /** Of its task: the running tasks of a key are its leases. */
    concurrency_key: text(),
    /** Of its attempt: the same claim again is answered by what it got. */
    claim_id: text(),
  },
  (t) => [
    // What an agent holds.
    index('leases_agent').on(t.agent_id, t.epoch),
    index('leases_key')
      .on(t.workspace_id, t.concurrency_key)
      .where(sql`concurrency_key is not null`),
    foreignKey({
      columns: [t.workspace_id, t.attempt_id],
      foreignColumns: [attempts.workspace_id, attempts.id],
    }).onDelete('cascade'),
    // None for task_id and agent_id: they are those of its attempt.
  ],
);
