import { AppError, type Attempt, taskMachine, type Task, type TaskFilters, type TaskStatus } from '@flotilla/shared';
import type { api, RouteInput } from '@flotilla/shared';

import { decodeCursor, pageOf } from '../db/page.ts';
import type { Sql } from '../db/client.ts';
import { plannedAnew } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { searchTasks } from './search/list.ts';
import { explainWaiting } from './waiting-for.ts';

/** What is stored of the API's task; the rest is said about it. */
type TaskFacts = Omit<Task, 'ref' | 'status_sentence' | 'waiting_for'> & {
  workspace_id: number;
  queue_class_id: number | null;
  key_blocked: boolean;
};

/** The columns of the API's task. Tokens and cost are sums over its attempts; a null cost is "unpriced". */
const columns = (sql: Sql) => sql`
  t.id, t.workspace_id, t.queue_class_id, t.title, t.description, t.status, t.priority, t.due_date, t.tags, t.required_tags,
  coalesce(assigned.name, t.assigned_to) as assigned_to, t.assigned_agent_id, t.claimed_by_agent_id, claimer.name as claimed_by,
  t.epoch, l.expires_at as lease_expires_at, t.executor, t.model, t.timeout_s, t.not_before, t.start_by, t.concurrency_key, t.concurrency_limit, t.key_blocked, nullif(t.deferred_until, 'infinity') as deferred_until, t.on_host_loss, t.review,
  t.metadata, t.attempts, t.dispatch_attempts, t.stale_requeues, t.rejections, t.feedback, t.asked_comment_id,
  (select text from task_comments where id = t.asked_comment_id) as question, t.resolution, t.result, t.failure,
  spent.cost_usd_micros, spent.input_tokens, spent.output_tokens, t.cancel_requested_at, t.created_by, t.created_at, t.updated_at,
  t.started_at, t.completed_at, t.version`;

const joins = (sql: Sql) => sql`
  left join agents assigned on assigned.id = t.assigned_agent_id
  left join agents claimer on claimer.id = t.claimed_by_agent_id
  left join leases l on l.task_id = t.id
  cross join lateral (
    select sum(cost_usd_micros)::bigint as cost_usd_micros, coalesce(sum(input_tokens), 0)::bigint as input_tokens,
      coalesce(sum(output_tokens), 0)::bigint as output_tokens
    from attempts where task_id = t.id
  ) spent`;

/** People see their workspace; an agent its own tasks; an attempt its task. Anything else does not exist for them. */
const visible = (sql: Sql, principal: Principal) => {
  const base = sql`t.workspace_id = ${principal.workspace_id} and t.deleted_at is null`;
  if (principal.kind === 'attempt') return sql`${base} and t.id = ${principal.task_id ?? 0}`;
  if (principal.kind === 'agent') {
    return sql`${base} and (t.assigned_agent_id = ${principal.id} or exists (select 1 from attempts a where a.task_id = t.id and a.agent_id = ${principal.id}))`;
  }
  return base;
};

const present = async (deps: Deps, rows: TaskFacts[]): Promise<Task[]> => {
  const waiting = await explainWaiting(deps, rows);
  return rows.map(({ workspace_id: _workspace, queue_class_id: _class, key_blocked: _blocked, ...row }) => ({
    ...row,
    ref: `TASK-${row.id}`,
    status_sentence: sentence(row),
    waiting_for: waiting.get(row.id) ?? null,
  }));
};

const sentence = (row: Pick<Task, 'status' | 'cancel_requested_at' | 'claimed_by' | 'asked_comment_id'>): string => {
  if (row.asked_comment_id !== null && row.status !== 'backlog')
    return 'It asked a question; the answer starts the next attempt.';
  if (row.status !== 'in_progress') return taskMachine.states[row.status].sentence;
  if (row.cancel_requested_at !== null) return `Cancelling: ${row.claimed_by} was asked to stop it.`;
  return `${row.claimed_by} works on it.`;
};

/** One task the principal may see, or 404. */
export const getTask = async (deps: Deps, principal: Principal, id: number): Promise<Task> => {
  const { sql } = deps.db;
  const rows = await sql<
    TaskFacts[]
  >`select ${columns(sql)} from tasks t ${joins(sql)} where t.id = ${id} and ${visible(sql, principal)}`;
  const [task] = await present(deps, rows);
  if (task === undefined) throw new AppError('not_found', { sentence: `There is no task ${id}.` });
  return task;
};

/** The workspace's task exists and the principal may see it, or 404; for verbs that need no more of it than this. */
export const requireTask = async (deps: Deps, principal: Principal, id: number): Promise<VisibleTask> => {
  const { sql } = deps.db;
  const [task] = await sql<VisibleTask[]>`
    select t.id, t.workspace_id, t.status, t.version, t.asked_comment_id, coalesce(t.claimed_by_agent_id, t.assigned_agent_id) as agent_id
    from tasks t where t.id = ${id} and ${visible(sql, principal)}`;
  if (task === undefined) throw new AppError('not_found', { sentence: `There is no task ${id}.` });
  return task;
};

/** `agent_id`: the agent that sees its events besides people. */
export type VisibleTask = {
  id: number;
  workspace_id: number;
  status: TaskStatus;
  version: number;
  agent_id: number | null;
  asked_comment_id: number | null;
};

type List = RouteInput<typeof api.tasks.list>['query'];
type Page = { tasks: Task[]; next_cursor: string | null };

/** What a list's filters but the search mean for `tasks t` and its joins. */
const matching = (sql: Sql, principal: Principal, filters: TaskFilters) => sql`
  ${visible(sql, principal)}
  ${filters.status === undefined ? sql`` : sql`and t.status = any(${filters.status}::text[])`}
  ${filters.priority === undefined ? sql`` : sql`and t.priority = any(${filters.priority}::text[])`}
  ${filters.assigned_to === undefined ? sql`` : sql`and coalesce(assigned.name, t.assigned_to) = ${filters.assigned_to}`}
  ${filters.claimed_by === undefined ? sql`` : sql`and claimer.name = ${filters.claimed_by}`}
  ${filters.tag === undefined ? sql`` : sql`and ${filters.tag} = any(t.tags)`}`;

/** A page of tasks, newest first; of a search, best first. */
export const listTasks = async (deps: Deps, principal: Principal, query: List): Promise<Page> => {
  const { sql } = deps.db;
  if (query.search !== undefined) return listFound(deps, principal, { ...query, search: query.search });
  const rows = await sql<TaskFacts[]>`
    select ${columns(sql)} from tasks t ${joins(sql)}
    where ${matching(sql, principal, query)} and t.id < ${decodeCursor(query.cursor)}
    order by t.id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  return { tasks: await present(deps, items), next_cursor };
};

/** Tasks below an id, newest first; `words` are a parsed search (null: one that nothing matches). */
export const listSlice = async (
  deps: Deps,
  principal: Principal,
  slice: TaskFilters & { words: string | null | undefined; before: number; limit: number },
): Promise<Task[]> => {
  const { words } = slice;
  if (words === null) return [];
  const read = (sql: Sql) => sql<TaskFacts[]>`
    select ${columns(sql)} from tasks t ${joins(sql)}
    where ${matching(sql, principal, slice)} and t.id < ${slice.before}
      ${words === undefined ? sql`` : sql`and t.id in (select task_id from task_search where document @@ ${words}::tsquery)`}
    order by t.id desc limit ${slice.limit}`;
  const rows = await plannedAnew(deps.db, read);
  return present(deps, rows);
};

const listFound = async (deps: Deps, principal: Principal, query: List & { search: string }): Promise<Page> => {
  const { sql } = deps.db;
  const { ids, next_cursor } = await searchTasks(
    deps,
    query,
    sql`from task_search s join tasks t on t.id = s.task_id
      left join agents assigned on assigned.id = t.assigned_agent_id
      left join agents claimer on claimer.id = t.claimed_by_agent_id
      where ${matching(sql, principal, query)}`,
  );
  const rows = await sql<
    TaskFacts[]
  >`select ${columns(sql)} from tasks t ${joins(sql)} where t.id = any(${ids}::bigint[])`;
  const byId = new Map((await present(deps, rows)).map((task) => [task.id, task]));
  return { tasks: ids.flatMap((id) => byId.get(id) ?? []), next_cursor };
};

/** The attempts of a task, newest first. */
export const listAttempts = async (
  deps: Deps,
  principal: Principal,
  { params, query }: RouteInput<typeof api.tasks.attempts>,
): Promise<{ attempts: Attempt[]; next_cursor: string | null }> => {
  await getTask(deps, principal, params.id);
  const rows = await deps.db.sql<Attempt[]>`
    select a.id, a.task_id, a.number, a.agent_id, agent.name as agent, a.epoch, a.state, l.phase, a.progress, a.executor, a.session_id, a.exit_code,
      a.failure, a.late_result, a.input_tokens, a.output_tokens, a.cost_usd_micros, a.claimed_at, a.started_at, a.ended_at,
      coalesce((select jsonb_object_agg(stream, jsonb_build_object('size', size, 'final_size', final_size, 'truncated', truncated))
        from attempt_streams where attempt_id = a.id), '{}') as log
    from attempts a join agents agent on agent.id = a.agent_id left join leases l on l.attempt_id = a.id
    where a.task_id = ${params.id} and a.workspace_id = ${principal.workspace_id} and a.id < ${decodeCursor(query.cursor)}
    order by a.id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  return { attempts: items, next_cursor };
};
