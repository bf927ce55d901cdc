import { AppError, type api, type QueueAnswer, type QueueReason, type RouteInput } from '@flotilla/shared';

import { ensurePoller } from '../../agents/register.ts';
import { inRounds } from '../../db/batcher.ts';
import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { attemptToken } from '../../tokens/attempt-token.ts';
import { claimBatch, type ClaimRequest, type ClaimResult } from './batch.ts';

/**
 * Polls of many agents. Two of one agent must not count the same free slots, so each round holds one poll per agent: the
 * next round sees what this one took. That also takes turns: an agent that polls fifty times at once does not empty the
 * queue before another's first poll.
 */
export const pollInRounds = (deps: Deps, requests: ClaimRequest[]): Promise<ClaimResult[]> =>
  inRounds(
    requests,
    ({ agent_id }) => agent_id,
    (round) => claimBatch(deps, round),
  );

/** One task of the queue for an agent without a daemon, or the reason why not, and all it holds. Never waits. */
export const pollQueue = async (
  deps: Deps,
  principal: Principal,
  { query }: RouteInput<typeof api.tasks.queue>,
): Promise<QueueAnswer> => {
  const agent_id = await pollingAgent(deps, principal, query.agent);
  const { tasks, refused } = await deps.batches.polls(deps, {
    agent_id,
    slots: 1,
    claim_id: null,
    poll: { max_held: query.max_capacity ?? null },
  });
  if (refused === 'gone') throw new AppError('agent_gone');
  const holding = await deps.db.sql<QueueAnswer['holding']>`
    select task_id as id, epoch, expires_at as lease_expires_at from leases where agent_id = ${agent_id} order by epoch`;
  const [task] = tasks;
  if (task === undefined) return { task: null, reason: refused ?? idleReason(holding), holding };
  const attempt_token = attemptToken(deps.attempt_key, task.id, task.epoch);
  return { task: { ...task, ref: `TASK-${task.id}`, attempt_token }, reason: 'assigned', holding };
};

const idleReason = (holding: QueueAnswer['holding']): QueueReason =>
  holding.length === 0 ? 'no_tasks_available' : 'holding';

/** An agent polls for itself; a person for the agent it names. */
const pollingAgent = async (deps: Deps, principal: Principal, name: string | undefined): Promise<number> => {
  if (principal.kind === 'agent') {
    if (name === undefined || name === principal.name) return principal.id;
    throw new AppError('not_found', { sentence: `There is no agent ${name} for this token.` });
  }
  if (name !== undefined) return ensurePoller(deps, principal, name);
  throw new AppError('invalid_input', { sentence: 'agent: say for which agent you poll' });
};
