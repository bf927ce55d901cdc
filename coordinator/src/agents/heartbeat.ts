import { AppError, agentStatus, type AttemptVerdict, type BeatAnswer } from '@flotilla/shared';
import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { findFutureEpochs } from '../tasks/future-epochs.ts';
import { applyHostFacts } from './host-facts.ts';
import type { AgentRow } from './store-beats.ts';
import { timingsOf } from './timings.ts';

/** Takes observed state up, answers desired state down, after the batch that holds it committed. */
export const heartbeat = async (
  deps: Deps,
  principal: Principal,
  { body: beat }: Pick<RouteInput<typeof api.agents.heartbeat>, 'body'>,
): Promise<BeatAnswer> => {
  const { agent, accepted, attempts, spread_ms } = await deps.batches.beats(deps, { agent_id: principal.id, beat });
  if (agent === undefined || agent.deleted_at !== null) throw new AppError('agent_gone');
  if (!accepted)
    throw new AppError('instance_conflict', {
      hint: `two processes run as ${agent.name}: stop the copy and let it join as an agent of its own; a host that was moved to another machine joins anew, too`,
    });
  await applyHostFacts(deps, agent, beat);
  await alertFutureEpochs(deps, principal, attempts);
  const drain = agent.drain_requested_at === null || agent.eligibility === 'eligible' ? null : drainOf(agent);
  return {
    agent: {
      id: agent.id,
      name: agent.name,
      status: agentStatus({ disabled: agent.disabled_at !== null, silent: false, eligibility: agent.eligibility }),
    },
    eligibility: agent.disabled_at === null ? agent.eligibility : 'ineligible',
    eligibility_generation: agent.eligibility_generation,
    drain,
    restart_generation: agent.restart_generation,
    token_generation: agent.token_generation,
    version: null,
    commands: [],
    attempts,
    timings: timingsOf(deps, spread_ms),
    desired_state: { action: drain === null ? 'run' : 'drain' },
  };
};

const alertFutureEpochs = async (deps: Deps, { id, workspace_id }: Principal, attempts: AttemptVerdict[]) => {
  const lost = attempts.filter(({ verdict }) => verdict === 'lost').map(({ epoch }) => epoch);
  const future = await findFutureEpochs(deps, lost);
  if (future.size === 0) return;
  const summary = { epochs: [...future] };
  await recordEvents(deps.db, [
    { type: 'agent.future_epochs', entity_id: id, workspace_id, version: 1, agent_id: id, summary },
  ]);
  deps.hub.raise('unsequenced');
};

const drainOf = (agent: AgentRow): BeatAnswer['drain'] => ({
  generation: agent.eligibility_generation,
  remaining_ms: agent.drain_remaining_ms,
  deadline: agent.drain_deadline,
  on_deadline: agent.drain_on_deadline ?? 'wait',
});
