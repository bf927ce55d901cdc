import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  foreignKey,
  index,
  integer,
  json,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
} from 'drizzle-orm/pg-core';

import { bytea, id, ref, timestamptz } from './columns.ts';
import { attempts } from './tasks.ts';
import { workspaces } from './tenancy.ts';

const now = sql`flotilla_now()`;

/** How far each stream of an attempt is stored; the row is locked by every append, so that chunks are contiguous. */
export const attempt_streams = pgTable(
  'attempt_streams',
  {
    workspace_id: ref().notNull(),
    attempt_id: ref().notNull(),
    stream: text().notNull(),
    size: bigint({ mode: 'number' }).notNull().default(0),
    final_size: bigint({ mode: 'number' }),
    truncated: boolean().notNull().default(false),
  },
  (t) => [
    primaryKey({ columns: [t.attempt_id, t.stream] }),
    foreignKey({
      columns: [t.workspace_id, t.attempt_id],
      foreignColumns: [attempts.workspace_id, attempts.id],
    }).onDelete('cascade'),
  ],
);

export const attempt_logs = pgTable(
  'attempt_logs',
  {
    id: id(),
    workspace_id: ref().notNull(),
    attempt_id: ref().notNull(),
    stream: text().notNull(),
    start: bigint({ mode: 'number' }).notNull(),
    data: bytea().notNull(),
    created_at: timestamptz().notNull().default(now),
  },
  (t) => [
    index('attempt_logs_position').on(t.attempt_id, t.stream, t.start),
    foreignKey({
      columns: [t.workspace_id, t.attempt_id],
      foreignColumns: [attempts.workspace_id, attempts.id],
    }).onDelete('cascade'),
  ],
);

export const attempt_usage = pgTable(
  'attempt_usage',
  {
    workspace_id: ref().notNull(),
    attempt_id: ref().notNull(),
    seq: integer().notNull(),
    mode: text().notNull(),
    model: text(),
    input_tokens: bigint({ mode: 'number' }).notNull(),
    output_tokens: bigint({ mode: 'number' }).notNull(),
    cache_read_tokens: bigint({ mode: 'number' }).notNull(),
    cache_write_tokens: bigint({ mode: 'number' }).notNull(),
    cost_usd_micros: bigint({ mode: 'number' }),
    created_at: timestamptz().notNull().default(now),
  },
  (t) => [
    primaryKey({ columns: [t.attempt_id, t.seq] }),
    foreignKey({
      columns: [t.workspace_id, t.attempt_id],
      foreignColumns: [attempts.workspace_id, attempts.id],
    }).onDelete('cascade'),
  ],
);

/**
 * The events of one transaction, in order: one row is inserted and given its place where a row per event would cost a claim
 * 35 µs. Inserted without position by the verbs; the sequencer gives committed ones the position of their last event. The
 * view `events` shows them one by one.
 */
export const event_batches = pgTable(
  'event_batches',
  {
    id: id(),
    last_seq: bigint({ mode: 'number' }),
    count: integer().notNull(),
    events: json().notNull(),
    created_at: timestamptz().notNull().default(now),
  },
  (t) => [
    index('event_batches_unsequenced')
      .on(t.id)
      .where(sql`last_seq is null`),
    uniqueIndex('event_batches_seq')
      .on(t.last_seq)
      .where(sql`last_seq is not null`),
  ],
);

/** Inserted unchained; the sequencer seals committed rows in order. */
export const audit_events = pgTable(
  'audit_events',
  {
    id: id(),
    workspace_id: ref()
      .notNull()
      .references(() => workspaces.id),
    seq: bigint({ mode: 'number' }),
    principal: text().notNull(),
    action: text().notNull(),
    entity: text().notNull(),
    entity_id: ref(),
    details: jsonb().notNull(),
    request_id: text(),
    hash: bytea(),
    created_at: timestamptz().notNull().default(now),
  },
  (t) => [
    index('audit_unsealed')
      .on(t.id)
      .where(sql`seq is null`),
    uniqueIndex('audit_seq')
      .on(t.seq)
      .where(sql`seq is not null`),
    index('audit_workspace').on(t.workspace_id, t.id),
    // What people did to one task, for its timeline.
    index('audit_task')
      .on(t.entity_id, t.id)
      .where(sql`entity = 'task'`),
  ],
);

/** Last position given by the sequencer, per chain (events, audit). Kept apart from the rows: retention deletes those. */
export const sequencer = pgTable('sequencer', {
  chain: text().primaryKey(),
  last_seq: bigint({ mode: 'number' }).notNull().default(0),
  last_hash: bytea(),
});
