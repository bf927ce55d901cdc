import { type AgentFacts, type AgentStatus, agentStatus, type WaitingFor } from '@flotilla/shared';

import { isSilent } from '../agents/silence.ts';
import { hasFreeSlot } from '../agents/slots.ts';
import type { Deps } from '../deps.ts';

/** Agents that are the same to every task that waits for one: a fleet has thousands of agents, and few kinds. */
export type AgentKind = {
  tags: string[];
  executors: string[];
  status: AgentStatus;
  /** Whether they have a free slot. */
  free: boolean;
  count: number;
  /** The first of their names. */
  name: string;
};

/** What decides why the tasks of one workspace wait, as of one moment. */
export type WorkspaceFacts = {
  paused: boolean;
  kinds: AgentKind[];
  /** What was found out about tasks that demand the same: a burst asks for one thing. */
  by_demand: Map<string, WaitingFor>;
};

/** What was last read, or is being read, of each workspace: a burst of creations reads once. */
export type WorkspaceFactsCache = Map<number, { asked_at: number; facts: Promise<WorkspaceFacts> }>;

/** Facts of a workspace that are at most this old; 0 asks anew. */
export const recentFacts = (deps: Deps, workspace_id: number, max_age_ms: number): Promise<WorkspaceFacts> => {
  const now = performance.now();
  const known = deps.workspace_facts.get(workspace_id);
  // It may have been asked in a transaction that came to nothing.
  if (known !== undefined && now - known.asked_at < max_age_ms)
    return known.facts.catch(() => readFacts(deps, workspace_id));
  const facts = readFacts(deps, workspace_id);
  deps.workspace_facts.set(workspace_id, { asked_at: now, facts });
  facts.catch(() => deps.workspace_facts.delete(workspace_id));
  return facts;
};

type KindRow = Omit<AgentKind, 'status'> & AgentFacts;

/** One row per agent that may be named, or that is counted. */
const agentRows = (deps: Deps) => deps.db.sql`
  select a.id, a.name, a.tags, a.executors, a.disabled_at is not null as disabled, ${isSilent(deps)} as silent, a.eligibility,
    ${hasFreeSlot(deps.db.sql)} as free
  from agents a left join agent_beats b on b.agent_id = a.id`;

const toKind = ({ disabled, silent, eligibility, ...kind }: KindRow): AgentKind => ({
  ...kind,
  status: agentStatus({ disabled, silent, eligibility }),
});

/** 30 ms of Postgres for 9 000 agents; all of them as rows would hold up Node as long again. */
const readFacts = async (deps: Deps, workspace_id: number): Promise<WorkspaceFacts> => {
  const { sql } = deps.db;
  const [paused, kinds] = await Promise.all([
    sql`select 1 from workspaces where id = ${workspace_id} and paused_at is not null`,
    sql<KindRow[]>`
      select tags, executors, disabled, silent, eligibility, free, count(*)::int as count, min(name) as name
      from (${agentRows(deps)} where a.workspace_id = ${workspace_id} and a.deleted_at is null) each
      group by tags, executors, disabled, silent, eligibility, free`,
  ]);
  return { paused: paused.length > 0, kinds: kinds.map(toKind), by_demand: new Map() };
};

/** Of the agents that tasks are assigned to, by id. */
export const readNamed = async (deps: Deps, ids: number[]): Promise<Map<number, AgentKind>> => {
  if (ids.length === 0) return new Map();
  const rows = await deps.db.sql<(KindRow & { id: number })[]>`
    select *, 1 as count from (${agentRows(deps)} where a.id = any(${ids}::bigint[]) and a.deleted_at is null) each`;
  return new Map(rows.map(({ id, ...row }) => [id, toKind(row)]));
};
