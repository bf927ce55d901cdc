import { type api, AppError, type RouteInput } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { lockNamedAgent } from './lock-agent.ts';

/** Deletes an agent that runs nothing. What was assigned to its name waits for an agent of that name again. */
export const deleteAgent = (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.agents.delete>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    const agent = await lockNamedAgent(inner, principal, params.id);
    const [live] = await db.sql<
      { count: number }[]
    >`select count(*)::int as count from leases where agent_id = ${agent.id}`;
    if ((live?.count ?? 0) > 0) {
      throw new AppError('agent_busy', {
        sentence: `${agent.name} still runs ${live?.count} task(s).`,
        hint: 'drain it first: flotilla agents drain',
      });
    }
    await db.sql`update agents set deleted_at = flotilla_now(), row_version = row_version + 1 where id = ${agent.id}`;
    await db.sql`
      update tasks set assigned_to = ${agent.name}, assigned_agent_id = null, queue_class_id = null, version = version + 1, updated_at = flotilla_now()
      where assigned_agent_id = ${agent.id} and status in ('backlog', 'assigned')`;
    await recordEvents(db, [
      {
        type: 'agent.deleted',
        entity_id: agent.id,
        workspace_id: principal.workspace_id,
        version: agent.row_version + 1,
        summary: { name: agent.name },
      },
    ]);
    await recordAudit(db, principal, {
      action: 'agent.delete',
      entity: 'agent',
      entity_id: agent.id,
      details: { name: agent.name },
    });
    db.afterCommit(() => {
      deps.hub.raise('unsequenced');
      deps.hub.raise('interrupt', agent.id);
    });
    return null;
  });
