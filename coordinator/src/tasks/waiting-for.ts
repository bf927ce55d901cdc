import { type AgentStatus, agentStatus, type WaitingCode, type WaitingFor } from '@flotilla/shared';

import { effectiveSlots } from '../agents/slots.ts';
import type { Deps } from '../deps.ts';
import { missingExecutor, missingTags } from './queue-classes.ts';

/** The parts of a queued task that decide why it waits. */
export type Waiting = {
  id: number;
  workspace_id: number;
  status: string;
  assigned_to: string | null;
  assigned_agent_id: number | null;
  required_tags: string[];
  executor: string | null;
  not_before: string | null;
  deferred_until: string | null;
  concurrency_key: string | null;
  concurrency_limit: number;
  key_blocked: boolean;
  asked_comment_id: number | null;
  /** Its text; null where only the code is read. */
  question: string | null;
};

type AgentFacts = {
  id: number;
  workspace_id: number;
  name: string;
  tags: string[];
  executors: string[];
  status: AgentStatus;
  free: number;
};

/** What decides for the tasks of one workspace, as of one moment. */
export type WorkspaceFacts = {
  read_at: number;
  paused: boolean;
  agents: AgentFacts[];
  /** What was found out about tasks that demand the same: each takes a look at every agent, and a burst asks for one thing. */
  by_demand: Map<string, WaitingFor>;
};
/** What was last read of each workspace: thousands of rows, that a burst of creations would read each time. */
export type WorkspaceFactsCache = Map<number, WorkspaceFacts>;

/**
 * Computed when read, from the same facts that claiming uses: an answer is never older than the request, unless the
 * caller takes facts of the last `max_age_ms`.
 */
export const explainWaiting = async (
  deps: Deps,
  tasks: Waiting[],
  max_age_ms = 0,
): Promise<Map<number, WaitingFor>> => {
  const queued = tasks.filter((task) => ['backlog', 'inbox', 'assigned'].includes(task.status));
  const workspace_ids = [...new Set(queued.map((task) => task.workspace_id))];
  const facts = await recentFacts(deps, workspace_ids, max_age_ms);
  return new Map(
    queued.flatMap((task) => {
      const known = facts.get(task.workspace_id);
      return known === undefined ? [] : [[task.id, explain(task, known)]];
    }),
  );
};

const recentFacts = async (
  deps: Deps,
  workspace_ids: number[],
  max_age_ms: number,
): Promise<Map<number, WorkspaceFacts>> => {
  const now = performance.now();
  const facts = new Map<number, WorkspaceFacts>();
  for (const id of workspace_ids) {
    const known = deps.workspace_facts.get(id);
    if (known !== undefined && now - known.read_at < max_age_ms) facts.set(id, known);
  }
  const stale = workspace_ids.filter((id) => !facts.has(id));
  if (stale.length === 0) return facts;
  const [paused, agents] = await Promise.all([loadPaused(deps, stale), loadAgents(deps, stale)]);
  for (const id of stale) {
    const of_it = agents.filter((agent) => agent.workspace_id === id);
    const read = { read_at: now, paused: paused.has(id), agents: of_it, by_demand: new Map<string, WaitingFor>() };
    deps.workspace_facts.set(id, read);
    facts.set(id, read);
  }
  return facts;
};

const loadPaused = async (deps: Deps, workspace_ids: number[]): Promise<Set<number>> => {
  const rows = await deps.db.sql<{ id: number }[]>`
    select id from workspaces where id = any(${workspace_ids}::bigint[]) and paused_at is not null`;
  return new Set(rows.map(({ id }) => id));
};

const loadAgents = async (deps: Deps, workspace_ids: number[]): Promise<AgentFacts[]> => {
  const rows = await deps.db.sql`
    select a.id, a.workspace_id, a.name, a.tags, a.executors, a.eligibility, a.disabled_at, a.slots_ceiling, a.slots_default, a.slots_reported,
      (extract(epoch from flotilla_now() - b.last_heartbeat_at) * 1000)::float8 as silent_ms,
      (select count(*)::int from leases where agent_id = a.id) as used
    from agents a left join agent_beats b on b.agent_id = a.id
    where a.workspace_id = any(${workspace_ids}::bigint[]) and a.deleted_at is null`;
  return rows.map((row) => ({
    id: row.id,
    workspace_id: row.workspace_id,
    name: row.name,
    tags: row.tags,
    executors: row.executors,
    status: agentStatus(
      { disabled_at: row.disabled_at, eligibility: row.eligibility, silent_ms: row.silent_ms },
      deps.config.FLOTILLA_LOST_MS,
    ),
    free:
      effectiveSlots({
        slots_reported: row.slots_reported,
        slots_default: row.slots_default,
        slots_ceiling: row.slots_ceiling,
      }) - row.used,
  }));
};

const say = (code: WaitingCode, message: string, nearest: WaitingFor['nearest'] = null): WaitingFor => ({
  code,
  message,
  nearest,
});

/** The beginning of a text on one line, cut between characters. */
const shorten = (text: string): string => {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  const [start = ''] = /^.{0,200}/u.exec(line) ?? [];
  return start.length < line.length ? `${start}…` : line;
};

const explain = (task: Waiting, facts: WorkspaceFacts): WaitingFor => {
  if (task.status === 'backlog') return say('backlog', 'It is parked in the backlog; move it to the inbox.');
  if (task.asked_comment_id !== null) {
    const asked = shorten(task.question ?? '');
    return say('answer', `It waits for a person to answer comment ${task.asked_comment_id}: "${asked}"`);
  }
  if (facts.paused) return say('paused', 'The workspace is paused; `flotilla resume` ends that.');
  if (task.key_blocked) {
    const most = task.concurrency_limit === 1 ? 'One task' : `${task.concurrency_limit} tasks`;
    return say('concurrency_key', `${most} with the key ${task.concurrency_key} may run at a time, and so many do.`);
  }
  if (task.deferred_until !== null) {
    return task.deferred_until === task.not_before
      ? say('not_before', `It was asked not to start before ${task.not_before}.`)
      : say('deferred', `An attempt failed; the next may start at ${task.deferred_until}.`);
  }
  if (task.assigned_to !== null && task.assigned_agent_id === null) {
    return say('unknown_agent', `It is assigned to ${task.assigned_to}, and no agent of that name is registered.`);
  }
  return explainByAgents(task, facts);
};

const explainByAgents = (task: Waiting, { agents, by_demand }: WorkspaceFacts): WaitingFor => {
  const demand = JSON.stringify([task.assigned_agent_id, task.executor, task.required_tags]);
  const known = by_demand.get(demand);
  if (known !== undefined) return known;
  const named = agents.find((agent) => agent.id === task.assigned_agent_id);
  const found = named === undefined ? explainPool(task, agents) : explainNamed(task, named);
  by_demand.set(demand, found);
  return found;
};

/** What the task demands and the agent has not. */
type Lack = { executor: string | null; tags: string[] };

const lackOf = (task: Waiting, agent: AgentFacts): Lack => ({
  executor: missingExecutor(task, agent),
  tags: missingTags(task, agent),
});

const countLack = ({ executor, tags }: Lack): number => (executor === null ? 0 : 1) + tags.length;

const tellLack = ({ executor, tags }: Lack): { code: 'executor' | 'tags'; missing: string } => {
  const said = tags.length === 0 ? [] : [`tags ${tags.join(', ')}`];
  if (executor !== null) said.unshift(`executor ${executor}`);
  return { code: executor === null ? 'tags' : 'executor', missing: said.join(' and ') };
};

const explainNamed = (task: Waiting, agent: AgentFacts): WaitingFor => {
  const lack = lackOf(task, agent);
  if (countLack(lack) > 0) {
    const { code, missing } = tellLack(lack);
    return say(code, `${agent.name} lacks ${missing}.`, { agent: agent.name, missing });
  }
  if (agent.status === 'disabled') return say('agent_disabled', `${agent.name} is disabled.`);
  if (agent.status === 'offline')
    return say('agent_offline', `${agent.name} has not been heard of; it starts when the host is back.`);
  if (agent.status === 'draining')
    return say('agent_draining', `${agent.name} is draining; resume it or assign another agent.`);
  if (agent.free <= 0) return say('agent_at_capacity', `All slots of ${agent.name} are in use.`);
  return say('ready', `${agent.name} may take it at its next poll.`);
};

type Candidate = { agent: AgentFacts; lack: Lack };

/** Fewest missing things first; of as many, an agent that is online is nearer than one that is not. */
const nearer = (a: Candidate, b: Candidate): Candidate => {
  const online = ({ agent }: Candidate) => Number(agent.status === 'online');
  const order =
    countLack(a.lack) - countLack(b.lack) || online(b) - online(a) || (a.agent.name < b.agent.name ? -1 : 1);
  return order < 0 ? a : b;
};

/** When no agent of some will do. */
const explainNearest = (task: Waiting, agents: AgentFacts[]): WaitingFor => {
  const { agent, lack } = agents.map((each): Candidate => ({ agent: each, lack: lackOf(task, each) })).reduce(nearer);
  const { code, missing } = tellLack(lack);
  const near = { agent: agent.name, missing };
  return say(code, `No agent has all that it needs; the nearest, ${agent.name}, lacks ${missing}.`, near);
};

const explainPool = (task: Waiting, agents: AgentFacts[]): WaitingFor => {
  if (agents.length === 0) return say('no_agents', 'No agent is registered; add a host with `flotilla hosts add`.');
  const able = agents.filter((agent) => countLack(lackOf(task, agent)) === 0);
  if (able.length === 0) return explainNearest(task, agents);
  const online = able.filter((agent) => agent.status === 'online');
  if (online.some((agent) => agent.free > 0)) return say('ready', 'A free agent may take it at its next poll.');
  if (online.length > 0)
    return say('at_capacity', `All slots of the ${online.length} matching online agents are in use.`);
  if (able.some((agent) => agent.status === 'draining'))
    return say('all_draining', 'Every matching agent that is online is draining.');
  if (able.some((agent) => agent.status === 'offline')) return say('all_offline', 'Every matching agent is offline.');
  return say('all_disabled', 'Every matching agent is disabled.');
};
