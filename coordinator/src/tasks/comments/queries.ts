import { AppError, type api, type Comment, type RouteInput } from '@flotilla/shared';

import { decodeCursor, pageOf } from '../../db/page.ts';
import type { Sql } from '../../db/client.ts';
import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { requireTask } from '../queries.ts';

const columns = (sql: Sql) => sql`
  c.id, c.task_id, c.reply_to, c.author, agent.name as agent, case when c.deleted_at is null then c.text end as text, c.mentions, c.question,
  c.created_at, c.edited_at, c.deleted_at`;

/** A page of a task's comments, newest first. */
export const listComments = async (
  deps: Deps,
  principal: Principal,
  { params, query }: RouteInput<typeof api.comments.list>,
): Promise<{ comments: Comment[]; next_cursor: string | null }> => {
  const { sql } = deps.db;
  const task = await requireTask(deps, principal, params.id);
  const rows = await sql<Comment[]>`
    select ${columns(sql)} from task_comments c left join agents agent on agent.id = c.agent_id
    where c.workspace_id = ${task.workspace_id} and c.task_id = ${task.id} and c.id < ${decodeCursor(query.cursor)}
    order by c.id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  return { comments: items, next_cursor };
};

/** One comment of a task that the caller has looked up. */
export const readComment = async (sql: Sql, id: number): Promise<Comment> => {
  const [comment] = await sql<Comment[]>`
    select ${columns(sql)} from task_comments c left join agents agent on agent.id = c.agent_id where c.id = ${id}`;
  if (comment === undefined) throw new AppError('not_found', { sentence: `There is no comment ${id}.` });
  return comment;
};
