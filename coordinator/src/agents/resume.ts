import { type Agent, type api, AppError, type RouteInput } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { announceStatus, lockAgent } from './lock-agent.ts';
import { getAgent } from './queries.ts';

/** Lets an agent take work again. Naming a generation resumes only that drain, not a newer one by somebody else. */
export const resumeAgent = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.agents.resume>,
): Promise<Agent> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    const agent = await lockAgent(inner, principal, params.id);
    if (body.generation !== undefined && body.generation !== agent.eligibility_generation) {
      throw new AppError('version_mismatch', {
        sentence: `The agent is at generation ${agent.eligibility_generation}, not ${body.generation}: somebody drained it again.`,
        details: { current: await getAgent(inner, principal, agent.id) },
      });
    }
    if (agent.eligibility === 'eligible') return getAgent(inner, principal, agent.id);
    await db.sql`
      update agents set eligibility = 'eligible', eligibility_generation = eligibility_generation + 1, drain_deadline = null,
        drain_on_deadline = null, drain_reason = null, drain_requested_at = null, updated_at = flotilla_now(), row_version = row_version + 1
      where id = ${agent.id}`;
    await announceStatus(inner, principal, agent, { eligibility: 'eligible' });
    await recordAudit(db, principal, { action: 'agent.resume', entity: 'agent', entity_id: agent.id });
    return getAgent(inner, principal, agent.id);
  });
