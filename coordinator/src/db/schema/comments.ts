import { sql } from 'drizzle-orm';
import { boolean, foreignKey, index, pgTable, text, unique } from 'drizzle-orm/pg-core';

import { agents } from './agents.ts';
import { id, ref, timestamptz } from './columns.ts';
import { tasks } from './tasks.ts';

/** What is said about a task. Goes with the task; a deleted one stays without its text. */
export const task_comments = pgTable(
  'task_comments',
  {
    id: id(),
    workspace_id: ref().notNull(),
    task_id: ref().notNull(),
    reply_to: ref(),
    author: text().notNull(),
    /** Names may be given again; kind and id of a principal are its own. */
    author_kind: text().notNull(),
    author_id: ref().notNull(),
    agent_id: ref(),
    text: text().notNull(),
    /** An attempt asked it, and its task waited for the answer. */
    question: boolean().notNull().default(false),
    mentions: text().array().notNull().default([]),
    created_at: timestamptz()
      .notNull()
      .default(sql`flotilla_now()`),
    edited_at: timestamptz(),
    deleted_at: timestamptz(),
  },
  (t) => [
    // A reply and what it answers belong to the same task.
    unique('task_comments_in_task').on(t.workspace_id, t.task_id, t.id),
    index('task_comments_reply').on(t.reply_to),
    foreignKey({
      name: 'task_comments_reply_to_fk',
      columns: [t.workspace_id, t.task_id, t.reply_to],
      foreignColumns: [t.workspace_id, t.task_id, t.id],
    }),
    foreignKey({ columns: [t.workspace_id, t.task_id], foreignColumns: [tasks.workspace_id, tasks.id] }).onDelete(
      'cascade',
    ),
    foreignKey({ columns: [t.workspace_id, t.agent_id], foreignColumns: [agents.workspace_id, agents.id] }),
  ],
);
