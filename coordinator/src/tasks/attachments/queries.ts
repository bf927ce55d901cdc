import { AppError, type api, type Attachment, type RouteInput } from '@flotilla/shared';

import { decodeCursor, pageOf } from '../../db/page.ts';
import type { Sql } from '../../db/client.ts';
import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { requireTask } from '../queries.ts';

const selected = (sql: Sql) => sql`
  select f.id, f.task_id, a.number as attempt, g.name as agent, f.name, f.content_type, f.size, f.sha256, f.created_at
  from task_attachments f join attempts a on a.id = f.attempt_id join agents g on g.id = a.agent_id`;

/** The files of a task, newest first. */
export const listAttachments = async (
  deps: Deps,
  principal: Principal,
  { params, query }: RouteInput<typeof api.attachments.list>,
): Promise<{ attachments: Attachment[]; next_cursor: string | null }> => {
  const { sql } = deps.db;
  const task = await requireTask(deps, principal, params.id);
  const rows = await sql<Attachment[]>`
    ${selected(sql)} where f.task_id = ${task.id} and f.workspace_id = ${task.workspace_id} and f.completed_at is not null
      and f.id < ${decodeCursor(query.cursor)}
    order by f.id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  return { attachments: items, next_cursor };
};

/** One file, whole; of this task when the caller names one. */
export const readAttachment = async (sql: Sql, id: number, task_id?: number): Promise<Attachment> => {
  const [found] = await sql<Attachment[]>`
    ${selected(sql)} where f.id = ${id} and f.completed_at is not null ${task_id === undefined ? sql`` : sql`and f.task_id = ${task_id}`}`;
  if (found === undefined) throw new AppError('not_found', { sentence: `There is no file ${id} here.` });
  return found;
};
