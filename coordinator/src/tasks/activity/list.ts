import type { Activity, api, RouteInput } from '@flotilla/shared';

import type { Sql } from '../../db/client.ts';
import { decodePlace, encodePlace } from '../../db/page.ts';
import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { requireTask } from '../queries.ts';

/** `us`, `source` and `id` are its place: microseconds, and what decides between two of the same one. */
type Row = Activity & { us: number; source: number; id: number };

/**
 * What happened to a task, from rows that live as long as it does: the audit (acts of people, never pruned), its attempts
 * and comments. Events are not asked: they are pruned. One task has few of them, so they are merged and sorted whole.
 * Served by audit_task, attempts_number and task_comments_in_task.
 */
export const listActivity = async (
  deps: Deps,
  principal: Principal,
  { params, query }: RouteInput<typeof api.tasks.activity>,
): Promise<{ activity: Activity[]; next_cursor: string | null }> => {
  const { sql } = deps.db;
  const task = await requireTask(deps, principal, params.id);
  const after = decodePlace(query.cursor, 3);
  const ascending = query.order === 'asc';
  const rows = await sql<Row[]>`
    with entry as (${acts(sql, task)} union all ${comments(sql, task)} union all ${attempts(sql, task)} union all ${ending(sql, task)}),
      placed as (select (extract(epoch from at) * 1000000)::bigint as us, * from entry)
    select * from placed
    ${after === null ? sql`` : sql`where (us, source, id) ${ascending ? sql`>` : sql`<`} (${after[0] ?? 0}::bigint, ${after[1] ?? 0}::int, ${after[2] ?? 0}::bigint)`}
    order by ${ascending ? sql`us, source, id` : sql`us desc, source desc, id desc`} limit ${query.limit + 1}`;
  const items = rows.slice(0, query.limit);
  const last = items.at(-1);
  const more = rows.length > query.limit && last !== undefined;
  return {
    activity: items.map(({ us: _us, source: _source, id: _id, ...activity }) => activity),
    next_cursor: more ? encodePlace([last.us, last.source, last.id]) : null,
  };
};

type Of = { id: number; workspace_id: number };

const acts = (sql: Sql, task: Of) => sql`
  select created_at as at, 1 as source, id, action as type, principal as who, null::text as agent, null::int as attempt, null::bigint as comment_id,
    null::text as text, details
  from audit_events where entity = 'task' and entity_id = ${task.id} and workspace_id = ${task.workspace_id}`;

const comments = (sql: Sql, task: Of) => sql`
  select c.created_at, 2, c.id, 'comment', c.author, g.name, null, c.id, case when c.deleted_at is null then c.text end,
    jsonb_build_object('reply_to', c.reply_to, 'mentions', c.mentions, 'question', c.question, 'edited_at', c.edited_at)
  from task_comments c left join agents g on g.id = c.agent_id
  where c.task_id = ${task.id} and c.workspace_id = ${task.workspace_id}`;

const attempts = (sql: Sql, task: Of) => sql`
  select step.at, step.source, a.id, step.type, 'agent:' || g.name, g.name, a.number, null, null, step.details
  from attempts a join agents g on g.id = a.agent_id cross join lateral (values
    (a.claimed_at, 3, 'attempt.claimed', '{}'::jsonb),
    (a.started_at, 4, 'attempt.started', jsonb_build_object('executor', a.executor)),
    (a.ended_at, 5, 'attempt.ended', jsonb_build_object('state', a.state, 'failure', a.failure))
  ) as step (at, source, type, details)
  where a.task_id = ${task.id} and a.workspace_id = ${task.workspace_id} and step.at is not null`;

/**
 * How the task ended, when it was the end of an attempt that ended it. Was it a person, the audit has that change of
 * status after the last attempt.
 */
const ending = (sql: Sql, task: Of) => sql`
  select t.completed_at, 6, t.id, 'task.ended', null, null, null, null, null, jsonb_build_object('status', t.status)
  from tasks t
  where t.id = ${task.id} and t.completed_at is not null and exists (select 1 from attempts where task_id = t.id)
    and not exists (
      select 1 from audit_events e
      where e.entity = 'task' and e.entity_id = t.id and e.workspace_id = t.workspace_id and e.details ->> 'status' = t.status
        and e.details ->> 'was' <> t.status and e.created_at >= (select max(ended_at) from attempts where task_id = t.id))`;
