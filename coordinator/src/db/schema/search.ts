import { customType, foreignKey, index, pgTable } from 'drizzle-orm/pg-core';

import { ref } from './columns.ts';
import { tasks } from './tasks.ts';

const tsvector = customType<{ data: string; driverData: string }>({ dataType: () => 'tsvector' });

/**
 * The words of a task. Beside `tasks`, not in it: claims, beats and reports rewrite that row all the time and must not
 * touch a text index.
 */
export const task_search = pgTable(
  'task_search',
  {
    task_id: ref().primaryKey(),
    workspace_id: ref().notNull(),
    document: tsvector().notNull(),
  },
  (t) => [
    index('task_search_document').using('gin', t.document),
    foreignKey({ columns: [t.workspace_id, t.task_id], foreignColumns: [tasks.workspace_id, tasks.id] }).onDelete(
      'cascade',
    ),
  ],
);
