import { sql } from 'drizzle-orm';
import { check, foreignKey, index, pgTable, text } from 'drizzle-orm/pg-core';

import { task_comments } from './comments.ts';
import { id, ref, timestamptz } from './columns.ts';
import { attempts, tasks } from './tasks.ts';

/** Every verdict on delivered work. */
export const quality_reviews = pgTable(
  'quality_reviews',
  {
    id: id(),
    workspace_id: ref().notNull(),
    task_id: ref().notNull(),
    attempt_id: ref(),
    verdict: text().notNull(),
    feedback: text(),
    comment_id: ref(),
    reviewer: text().notNull(),
    reviewer_kind: text().notNull(),
    reviewer_id: ref().notNull(),
    created_at: timestamptz()
      .notNull()
      .default(sql`flotilla_now()`),
  },
  (t) => [
    index('quality_reviews_task').on(t.task_id, t.id),
    // For the deletion of what they refer to.
    index('quality_reviews_attempt').on(t.attempt_id),
    index('quality_reviews_comment').on(t.comment_id),
    foreignKey({ columns: [t.workspace_id, t.task_id], foreignColumns: [tasks.workspace_id, tasks.id] }).onDelete(
      'cascade',
    ),
    foreignKey({
      columns: [t.workspace_id, t.attempt_id],
      foreignColumns: [attempts.workspace_id, attempts.id],
    }).onDelete('cascade'),
    foreignKey({
      name: 'quality_reviews_comment_fk',
      columns: [t.workspace_id, t.task_id, t.comment_id],
      foreignColumns: [task_comments.workspace_id, task_comments.task_id, task_comments.id],
    }).onDelete('cascade'),
    check('quality_reviews_verdict', sql`verdict in ('approved', 'rejected')`),
  ],
);
