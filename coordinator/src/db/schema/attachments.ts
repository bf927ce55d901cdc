import { sql } from 'drizzle-orm';
import {
  bigint,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  unique,
  uniqueIndex,
} from 'drizzle-orm/pg-core';

import { bytea, id, ref, timestamptz } from './columns.ts';
import { attempts, tasks } from './tasks.ts';

/** Files left with a result. Without `completed_at` the upload goes on, or was abandoned. */
export const task_attachments = pgTable(
  'task_attachments',
  {
    id: id(),
    workspace_id: ref().notNull(),
    task_id: ref().notNull(),
    attempt_id: ref().notNull(),
    name: text().notNull(),
    content_type: text().notNull(),
    size: bigint({ mode: 'number' }).notNull().default(0),
    sha256: text(),
    created_at: timestamptz()
      .notNull()
      .default(sql`flotilla_now()`),
    completed_at: timestamptz(),
  },
  (t) => [
    unique('task_attachments_in_workspace').on(t.workspace_id, t.id),
    index('task_attachments_task').on(t.task_id, t.id),
    index('task_attachments_attempt').on(t.attempt_id),
    uniqueIndex('task_attachments_name')
      .on(t.attempt_id, t.name)
      .where(sql`completed_at is not null`),
    foreignKey({ columns: [t.workspace_id, t.task_id], foreignColumns: [tasks.workspace_id, tasks.id] }).onDelete(
      'cascade',
    ),
    foreignKey({
      columns: [t.workspace_id, t.attempt_id],
      foreignColumns: [attempts.workspace_id, attempts.id],
    }).onDelete('cascade'),
  ],
);

export const attachment_chunks = pgTable(
  'attachment_chunks',
  {
    workspace_id: ref().notNull(),
    attachment_id: ref().notNull(),
    seq: integer().notNull(),
    data: bytea().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.attachment_id, t.seq] }),
    foreignKey({
      name: 'attachment_chunks_attachment_fk',
      columns: [t.workspace_id, t.attachment_id],
      foreignColumns: [task_attachments.workspace_id, task_attachments.id],
    }).onDelete('cascade'),
  ],
);
