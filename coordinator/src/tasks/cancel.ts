import type { api, RouteInput, Task } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { announce } from './announce.ts';
import { lockTask, requireEdge } from './lock-task.ts';
import { getTask } from './queries.ts';

/**
 * Cancels a task. Unclaimed: at once. Claimed: the agent is asked (by its beat, and by ending its parked poll so that it
 * beats now); the slot stays used, and the first terminal report wins. Asking twice changes nothing.
 */
export const cancelTask = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.cancel>,
): Promise<Task> =>
  deps.db.transaction(async (db) => {
    const task = await lockTask(db, principal, params.id);
    requireEdge(task, 'cancel');
    const claimed = task.status === 'in_progress';
    if (claimed && task.cancel_requested_at !== null) return getTask({ ...deps, db }, principal, task.id);
    const [row] = await db.sql<{ version: number }[]>`
      update tasks set status = ${claimed ? 'in_progress' : 'cancelled'}, cancel_requested_at = flotilla_now(),
        completed_at = case when ${!claimed} then flotilla_now() end, deferred_until = null, asked_comment_id = null, key_blocked = false, version = version + 1, updated_at = flotilla_now()
      where id = ${task.id} returning version`;
    const reason = body.reason ?? null;
    await recordEvents(db, [
      {
        type: claimed ? 'task.cancel_requested' : 'task.cancelled',
        entity_id: task.id,
        workspace_id: task.workspace_id,
        version: row?.version ?? task.version,
        agent_id: task.claimed_by_agent_id ?? task.assigned_agent_id,
        summary: { status: claimed ? 'in_progress' : 'cancelled' },
      },
    ]);
    await recordAudit(db, principal, {
      action: 'task.cancel',
      entity: 'task',
      entity_id: task.id,
      details: { reason, was: task.status, status: claimed ? 'in_progress' : 'cancelled' },
    });
    announce({ ...deps, db }, null);
    const agent_id = task.claimed_by_agent_id;
    if (agent_id !== null) db.afterCommit(() => deps.hub.raise('interrupt', agent_id));
    return getTask({ ...deps, db }, principal, task.id);
  });
