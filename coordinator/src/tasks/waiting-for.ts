import type { WaitingCode, WaitingFor } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import { missingExecutor, missingTags } from './queue-classes.ts';
import { type AgentKind, readNamed, recentFacts, type WorkspaceFacts } from './workspace-facts.ts';

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
  const named_ids = [...new Set(queued.flatMap((task) => task.assigned_agent_id ?? []))];
  const [named, facts] = await Promise.all([
    readNamed(deps, named_ids),
    Promise.all(workspace_ids.map(async (id) => [id, await recentFacts(deps, id, max_age_ms)] as const)),
  ]);
  const of_workspace = new Map(facts);
  return new Map(
    queued.flatMap((task) => {
      const known = of_workspace.get(task.workspace_id);
      return known === undefined ? [] : [[task.id, explain(task, known, named)]];
    }),
  );
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

const explain = (task: Waiting, facts: WorkspaceFacts, named: Map<number, AgentKind>): WaitingFor => {
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
  const agent = named.get(task.assigned_agent_id ?? 0);
  return agent === undefined ? explainPool(task, facts) : explainNamed(task, agent);
};

/** What the task demands and the agent has not. */
type Lack = { executor: string | null; tags: string[] };

const lackOf = (task: Waiting, agent: AgentKind): Lack => ({
  executor: missingExecutor(task, agent),
  tags: missingTags(task, agent),
});

const countLack = ({ executor, tags }: Lack): number => (executor === null ? 0 : 1) + tags.length;

const tellLack = ({ executor, tags }: Lack): { code: 'executor' | 'tags'; missing: string } => {
  const said = tags.length === 0 ? [] : [`tags ${tags.join(', ')}`];
  if (executor !== null) said.unshift(`executor ${executor}`);
  return { code: executor === null ? 'tags' : 'executor', missing: said.join(' and ') };
};

const explainNamed = (task: Waiting, agent: AgentKind): WaitingFor => {
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
  if (!agent.free) return say('agent_at_capacity', `All slots of ${agent.name} are in use.`);
  return say('ready', `${agent.name} may take it at its next poll.`);
};

type Candidate = { kind: AgentKind; lack: Lack };

/** Fewest missing things first; of as many, an agent that is online is nearer than one that is not. */
const nearer = (a: Candidate, b: Candidate): Candidate => {
  const online = ({ kind }: Candidate) => Number(kind.status === 'online');
  const order = countLack(a.lack) - countLack(b.lack) || online(b) - online(a) || (a.kind.name < b.kind.name ? -1 : 1);
  return order < 0 ? a : b;
};

/** When no agent of some will do. */
const explainNearest = (task: Waiting, kinds: AgentKind[]): WaitingFor => {
  const { kind, lack } = kinds.map((each): Candidate => ({ kind: each, lack: lackOf(task, each) })).reduce(nearer);
  const { code, missing } = tellLack(lack);
  const near = { agent: kind.name, missing };
  return say(code, `No agent has all that it needs; the nearest, ${kind.name}, lacks ${missing}.`, near);
};

const explainPool = (task: Waiting, { kinds, by_demand }: WorkspaceFacts): WaitingFor => {
  const demand = JSON.stringify([task.executor, task.required_tags]);
  const found = by_demand.get(demand) ?? explainKinds(task, kinds);
  by_demand.set(demand, found);
  return found;
};

const explainKinds = (task: Waiting, kinds: AgentKind[]): WaitingFor => {
  if (kinds.length === 0) return say('no_agents', 'No agent is registered; add a host with `flotilla hosts add`.');
  const able = kinds.filter((kind) => countLack(lackOf(task, kind)) === 0);
  if (able.length === 0) return explainNearest(task, kinds);
  const online = able.filter((kind) => kind.status === 'online');
  if (online.some((kind) => kind.free)) return say('ready', 'A free agent may take it at its next poll.');
  if (online.length > 0) {
    const count = online.reduce((sum, kind) => sum + kind.count, 0);
    return say('at_capacity', `All slots of the ${count} matching online agents are in use.`);
  }
  if (able.some((kind) => kind.status === 'draining'))
    return say('all_draining', 'Every matching agent that is online is draining.');
  if (able.some((kind) => kind.status === 'offline')) return say('all_offline', 'Every matching agent is offline.');
  return say('all_disabled', 'Every matching agent is disabled.');
};
