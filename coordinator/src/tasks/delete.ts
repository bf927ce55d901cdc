import type { api, RouteInput } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { announce } from './announce.ts';
import { lockTask, requireEdge } from './lock-task.ts';

/** Hides a task that does not run. The row stays for a while, so that a late report is told `task_gone`. */
export const deleteTask = (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.tasks.delete>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const task = await lockTask(db, principal, params.id);
    requireEdge(task, 'delete');
    await db.sql`update tasks set deleted_at = flotilla_now(), updated_at = flotilla_now(), version = version + 1 where id = ${task.id}`;
    await recordEvents(db, [
      {
        type: 'task.deleted',
        entity_id: task.id,
        workspace_id: task.workspace_id,
        version: task.version + 1,
        agent_id: task.assigned_agent_id,
        summary: {},
      },
    ]);
    await recordAudit(db, principal, { action: 'task.delete', entity: 'task', entity_id: task.id });
    announce({ ...deps, db }, null);
    return null;
  });
