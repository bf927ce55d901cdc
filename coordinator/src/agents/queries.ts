import { type Agent, AppError, agentStatus, agentStatusSentences, type api, type RouteInput } from '@flotilla/shared';

import { decodeCursor, pageOf } from '../db/page.ts';
import type { Sql } from '../db/client.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { isSilent } from './silence.ts';
import { effectiveSlots } from './slots.ts';

type Row = Omit<Agent, 'status' | 'status_sentence' | 'drain' | 'drained' | 'slots'> & {
  slots_reported: number | null;
  slots_default: number;
  silent: boolean;
  drain_deadline: string | null;
  drain_on_deadline: 'wait' | 'requeue' | 'kill' | null;
  drain_reason: string | null;
  drain_requested_at: string | null;
};

const columns = (deps: Deps) => deps.db.sql`
  a.id, a.name, a.kind, a.role, a.eligibility, a.eligibility_generation, a.drain_deadline, a.drain_on_deadline, a.drain_reason, a.drain_requested_at,
  a.hostname, a.host_uid, a.platform, a.version, a.tags, a.reported_tags, a.metadata, a.executors, a.slots_ceiling, a.slots_reported, a.slots_default,
  (select count(*)::int from leases where agent_id = a.id) as slots_used, b.isolation, coalesce(b.observed, '{}') as observed,
  b.last_heartbeat_at, ${isSilent(deps)} as silent, a.disabled_at, a.created_at, a.updated_at,
  a.row_version`;

/** People see their workspace's agents; an agent itself; an attempt none. In SQL, of `agents` as a. */
export const visibleAgents = (sql: Sql, principal: Principal) => {
  const base = sql`a.workspace_id = ${principal.workspace_id} and a.deleted_at is null`;
  return principal.kind === 'agent' ? sql`${base} and a.id = ${principal.id}` : base;
};

const present = (row: Row): Agent => {
  const {
    slots_reported,
    slots_default,
    silent,
    drain_deadline,
    drain_on_deadline,
    drain_reason,
    drain_requested_at,
    ...agent
  } = row;
  const status = agentStatus({ disabled: row.disabled_at !== null, silent, eligibility: row.eligibility });
  const draining = row.eligibility === 'ineligible' && drain_requested_at !== null;
  return {
    ...agent,
    status,
    status_sentence: agentStatusSentences[status],
    slots: effectiveSlots({ slots_reported, slots_default, slots_ceiling: row.slots_ceiling }),
    drained: draining && row.slots_used === 0,
    drain: draining
      ? {
          generation: row.eligibility_generation,
          deadline: drain_deadline,
          on_deadline: drain_on_deadline ?? 'wait',
          reason: drain_reason,
          requested_at: drain_requested_at,
        }
      : null,
  };
};

/** One agent the principal may see, or 404. */
export const getAgent = async (deps: Deps, principal: Principal, id: number): Promise<Agent> => {
  const { sql } = deps.db;
  const [row] = await sql<Row[]>`
    select ${columns(deps)} from agents a left join agent_beats b on b.agent_id = a.id where a.id = ${id} and ${visibleAgents(sql, principal)}`;
  if (row === undefined) throw new AppError('not_found', { sentence: `There is no agent ${id}.` });
  return present(row);
};

/** A page of agents, newest first. Status is derived, so it is filtered here; a page may hold fewer than its limit. */
export const listAgents = async (
  deps: Deps,
  principal: Principal,
  { query }: RouteInput<typeof api.agents.list>,
): Promise<{ agents: Agent[]; next_cursor: string | null }> => {
  const { sql } = deps.db;
  const rows = await sql<Row[]>`
    select ${columns(deps)} from agents a left join agent_beats b on b.agent_id = a.id
    where ${visibleAgents(sql, principal)} and a.id < ${decodeCursor(query.cursor)} ${query.tag === undefined ? sql`` : sql`and ${query.tag} = any(a.tags)`}
    order by a.id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  const agents = items
    .map(present)
    .filter((agent) => query.status === undefined || query.status.includes(agent.status));
  return { agents, next_cursor };
};
