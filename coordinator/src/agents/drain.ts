import type { Agent, api, RouteInput } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { announceStatus, lockAgent } from './lock-agent.ts';
import { getAgent } from './queries.ts';

/** Stops new work: no claim commits after this answers. Running tasks finish, or end at the deadline as asked. */
export const drainAgent = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.agents.drain>,
): Promise<Agent> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    const agent = await lockAgent(inner, principal, params.id);
    await db.sql`
      update agents set eligibility = 'ineligible', eligibility_generation = eligibility_generation + 1, drain_on_deadline = ${body.on_deadline},
        drain_deadline = flotilla_now() + ${body.deadline_s ?? null}::bigint * interval '1 s', drain_reason = ${body.reason ?? null},
        drain_requested_at = flotilla_now(), updated_at = flotilla_now(), row_version = row_version + 1
      where id = ${agent.id}`;
    await announceStatus(inner, principal, agent, { eligibility: 'ineligible', on_deadline: body.on_deadline });
    await recordAudit(db, principal, {
      action: 'agent.drain',
      entity: 'agent',
      entity_id: agent.id,
      details: { ...body },
    });
    return getAgent(inner, principal, agent.id);
  });
