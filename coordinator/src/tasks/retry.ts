import type { api, RouteInput, Task } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { announce } from './announce.ts';
import { bindTask } from './bind.ts';
import { lockTask, requireEdge } from './lock-task.ts';
import { getTask } from './queries.ts';

/** Queues an ended task again with all counters at zero: a person's decision, so it is audited. */
export const retryTask = (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.tasks.retry>,
): Promise<Task> =>
  deps.db.transaction(async (db) => {
    const task = await lockTask(db, principal, params.id);
    requireEdge(task, 'retry');
    const status = task.assigned_to === null ? 'inbox' : 'assigned';
    const [demands] = await db.sql<
      { required_tags: string[]; executor: string | null }[]
    >`select required_tags, executor from tasks where id = ${task.id}`;
    if (demands === undefined) throw new Error('locked row vanished');
    // Bound anew: the agent it was assigned to may have been deleted since.
    const { workspace_id, assigned_to } = task;
    const binding = await bindTask({ ...deps, db }, { workspace_id, assigned_to, ...demands });
    const [row] = await db.sql<{ version: number; deferred_until: string | null }[]>`
      update tasks set status = ${status}, assigned_agent_id = ${binding.assigned_agent_id}, queue_class_id = ${binding.queue_class_id}, attempts = 0, dispatch_attempts = 0, stale_requeues = 0, rejections = 0, cancel_requested_at = null,
        deferred_until = case when not_before > flotilla_now() then not_before end, key_blocked = false, start_by = case when start_by > flotilla_now() then start_by end, completed_at = null, started_at = null, resolution = null, result = null, failure = null,
        version = version + 1, updated_at = flotilla_now()
      where id = ${task.id} returning version, deferred_until`;
    await recordEvents(db, [
      {
        type: 'task.retried',
        entity_id: task.id,
        workspace_id: task.workspace_id,
        version: row?.version ?? task.version,
        agent_id: binding.assigned_agent_id,
        summary: { status },
      },
    ]);
    await recordAudit(db, principal, {
      action: 'task.retry',
      entity: 'task',
      entity_id: task.id,
      details: { was: task.status, status },
    });
    announce({ ...deps, db }, row?.deferred_until == null ? binding : null);
    return getTask({ ...deps, db }, principal, task.id);
  });
