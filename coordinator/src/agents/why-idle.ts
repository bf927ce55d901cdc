import type { Agent, WhyIdle } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { missingExecutor, missingTags } from '../tasks/queue-classes.ts';
import { readQueue } from '../tasks/queue-groups.ts';
import { readWorkspace } from '../workspaces/queries.ts';
import { getAgent } from './queries.ts';

type Reason = Pick<WhyIdle, 'code' | 'message'>;

/** Why an agent gets no work now: its own state first, then what is queued, from the facts that claiming uses. */
export const explainIdle = async (deps: Deps, principal: Principal, id: number): Promise<WhyIdle> => {
  const agent = await getAgent(deps, principal, id);
  const { pause } = await readWorkspace(deps, principal.workspace_id);
  const { tasks, nearest } = await sortQueue(deps, principal.workspace_id, agent);
  const reason = ownReason(agent) ?? pauseReason(pause) ?? queueReason(agent, tasks, nearest);
  return { ...reason, slots: agent.slots, slots_used: agent.slots_used, tasks, nearest };
};

const ownReason = ({ name, status, slots, slots_used, drain, kind }: Agent): Reason | null => {
  if (status === 'disabled') return { code: 'disabled', message: `${name} is disabled; an admin may enable it.` };
  if (status === 'draining')
    return { code: 'draining', message: `${name} drains${drain?.reason ? `: ${drain.reason}` : ''}; resume it.` };
  // Who only polls never beats: that says nothing about it.
  if (status === 'offline' && kind === 'daemon')
    return { code: 'offline', message: `${name} has not been heard of; look at its host.` };
  if (slots === 0) return { code: 'at_capacity', message: `${name} offers no slots.` };
  if (slots_used >= slots) return { code: 'at_capacity', message: `All ${slots} slots of ${name} are in use.` };
  return null;
};

const pauseReason = (pause: { reason: string | null } | null): Reason | null =>
  pause === null
    ? null
    : { code: 'paused', message: `The workspace is paused${pause.reason === null ? '' : `: ${pause.reason}`}.` };

const queueReason = (agent: Agent, tasks: Record<string, number>, nearest: WhyIdle['nearest']): Reason => {
  const { claimable = 0, deferred = 0 } = tasks;
  const total = Object.values(tasks).reduce((sum, count) => sum + count, 0);
  if (claimable > 0) return { code: 'ready', message: `${claimable} tasks are ready for ${agent.name}'s next poll.` };
  if (total === 0)
    return agent.slots_used > 0
      ? { code: 'working', message: `${agent.name} works on ${agent.slots_used} tasks; nothing else is queued.` }
      : { code: 'no_tasks', message: 'Nothing is queued.' };
  if (deferred === total)
    return {
      code: 'tasks_deferred',
      message: `All ${total} queued tasks wait for their time, a retry, a key or an answer.`,
    };
  const lack = nearest === null ? '' : ` TASK-${nearest.task_id} comes closest: it needs ${nearest.missing}.`;
  return { code: 'tasks_need_more', message: `None of the ${total} queued tasks is for ${agent.name}.${lack}` };
};

/** Counts the queue by what stands between each task and the agent. Tasks of one queue class are judged together. */
const sortQueue = async (deps: Deps, workspace_id: number, agent: Agent) => {
  const tasks: Record<string, number> = {};
  let nearest: (NonNullable<WhyIdle['nearest']> & { lacks: number }) | null = null;
  for (const group of await readQueue(deps, workspace_id)) {
    const missing = missingOf(group, agent);
    const kind =
      group.assigned_to !== null && group.assigned_agent_id !== agent.id
        ? 'for_others'
        : missing.length > 0
          ? 'need_more'
          : group.deferred
            ? 'deferred'
            : 'claimable';
    tasks[kind] = (tasks[kind] ?? 0) + group.count;
    if (kind === 'need_more' && (nearest === null || missing.length < nearest.lacks))
      nearest = { task_id: group.first_id, missing: missing.join(', '), lacks: missing.length };
  }
  return { tasks, nearest: nearest === null ? null : { task_id: nearest.task_id, missing: nearest.missing } };
};

const missingOf = (group: { required_tags: string[]; executor: string | null }, agent: Agent): string[] => {
  const executor = missingExecutor(group, agent);
  return [
    ...missingTags(group, agent).map((tag) => `tag ${tag}`),
    ...(executor === null ? [] : [`executor ${executor}`]),
  ];
};
