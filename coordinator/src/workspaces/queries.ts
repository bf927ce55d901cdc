import { agentStatuses, type api, type RouteInput, type RouteOutput, type Workspace } from '@flotilla/shared';

import { countAgents } from '../agents/counts.ts';
import { visibleAgents } from '../agents/queries.ts';
import { decodeCursor, pageOf } from '../db/page.ts';
import type { Sql } from '../db/client.ts';
import { isoTime } from '../db/iso-time.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { countTasks } from '../tasks/counts.ts';
import { readExpiry } from '../tasks/expire/suspension.ts';
import { explainWaiting, type Waiting } from '../tasks/waiting-for.ts';
import { VERSION } from '../version.ts';

/** Queued tasks that the status page explains one by one; beyond, the counts of these stand for all. */
const EXPLAINED = 2_000;

const columns = (sql: Sql) => sql`
  id, slug, name, created_at, case when paused_at is not null then
    jsonb_build_object('since', ${isoTime(sql, sql`paused_at`)}, 'by', paused_by, 'reason', pause_reason) end as pause`;

export const readWorkspace = async (deps: Deps, id: number): Promise<Workspace> => {
  const { sql } = deps.db;
  const [workspace] = await sql<Workspace[]>`select ${columns(sql)} from workspaces where id = ${id}`;
  if (workspace === undefined) throw new Error(`workspace ${id} vanished`);
  return workspace;
};

export const whoAmI = async (deps: Deps, principal: Principal): Promise<RouteOutput<typeof api.workspaces.me>> => {
  const workspace = await readWorkspace(deps, principal.workspace_id);
  const { kind, id, name, role } = principal;
  return { principal: { kind, id, name, role }, workspace };
};

export const listWorkspaces = async (
  deps: Deps,
  principal: Principal,
  { query }: RouteInput<typeof api.workspaces.list>,
): Promise<RouteOutput<typeof api.workspaces.list>> => {
  const { sql } = deps.db;
  const rows = await sql<Workspace[]>`
    select ${columns(sql)} from workspaces
    where (id = ${principal.workspace_id} or ${principal.workspace_id} = 1) and id < ${decodeCursor(query.cursor)} order by id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  return { workspaces: items, next_cursor };
};

/** One look at a workspace: agents and tasks by status, slots, and why queued tasks wait. */
export const readStatus = async (
  deps: Deps,
  principal: Principal,
): Promise<RouteOutput<typeof api.workspaces.status>> => {
  const { sql } = deps.db;
  const { workspace } = await whoAmI(deps, principal);
  const queued = await sql<Waiting[]>`
    select id, workspace_id, status, assigned_to, assigned_agent_id, required_tags, executor, not_before, nullif(deferred_until, 'infinity') as deferred_until, concurrency_key, concurrency_limit, key_blocked,
      asked_comment_id, null as question from tasks
    where workspace_id = ${principal.workspace_id} and status in ('backlog', 'inbox', 'assigned') and deleted_at is null limit ${EXPLAINED}`;
  const waiting: Record<string, number> = {};
  for (const { code } of (await explainWaiting(deps, queued)).values()) waiting[code] = (waiting[code] ?? 0) + 1;
  const agents = await countAgents(deps, visibleAgents(sql, principal));
  const [leases] = await sql<{ used: number }[]>`
    select count(*)::int as used from leases l join agents a on a.id = l.agent_id where ${visibleAgents(sql, principal)}`;
  const tasks = await countTasks(deps, sql`workspace_id = ${principal.workspace_id} and deleted_at is null`);
  return {
    version: VERSION,
    workspace: workspace.slug,
    pause: workspace.pause,
    expiry: await readExpiry(deps),
    agents: Object.fromEntries(agentStatuses.map((status) => [status, agents[status].agents])),
    tasks,
    slots: { total: agents.online.slots, used: leases?.used ?? 0 },
    waiting,
  };
};
