import type { Sql } from '../../db/client.ts';

/**
 * The questions of a row of `tasks` that people answered, with their answers, in order; what was deleted is not said again.
 * Null without a look for a task that nobody ever answered. Served by task_comments_in_task and task_comments_reply.
 */
export const answers = (sql: Sql) => sql`
  case when answered then (
    select jsonb_agg(jsonb_build_object('question', said.question, 'answers', said.answers) order by said.id) from (
      select q.id, q.text as question, jsonb_agg(r.text order by r.id) as answers
      from task_comments q join task_comments r on r.reply_to = q.id
      where q.workspace_id = tasks.workspace_id and q.task_id = tasks.id and q.question and q.deleted_at is null
        and r.author_kind = 'api_token' and r.deleted_at is null
      group by q.id) said
  ) end`;
