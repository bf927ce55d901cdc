import { AppError, type api, type RouteInput, type Task } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { announce, announceEnded } from './announce.ts';
import { endAttempt, returnTask } from './lifecycle.ts';
import { lockTask } from './lock-task.ts';
import { getTask } from './queries.ts';

/** An operator takes a running task from its agent: the attempt is lost, the epoch fences it, the task is queued again. */
export const releaseTask = (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.tasks.release>,
): Promise<Task> =>
  deps.db.transaction(async (db) => {
    // Lease, then attempt, then task: the order of every verb that touches all three.
    await db.sql`select 1 from leases where task_id = ${params.id} and workspace_id = ${principal.workspace_id} for no key update`;
    const [attempt] = await db.sql<{ id: number; task_id: number; epoch: number; agent_id: number }[]>`
      select id, task_id, epoch, agent_id from attempts
      where task_id = ${params.id} and workspace_id = ${principal.workspace_id} and ended_at is null for no key update`;
    const task = await lockTask(db, principal, params.id);
    if (attempt === undefined)
      throw new AppError('invalid_transition', { sentence: 'Nobody holds this task; there is nothing to release.' });
    await endAttempt(db, attempt, {
      state: 'lost',
      failure: { kind: 'released_by_operator', message: 'An operator took the task away.' },
    });
    const status = await returnTask(db, task, { counter: null, failure: null, defer_ms: 0, event: 'task.released' });
    await recordAudit(db, principal, {
      action: 'task.release',
      entity: 'task',
      entity_id: task.id,
      details: { epoch: attempt.epoch, was: task.status, status },
    });
    announceEnded({ ...deps, db }, [task]);
    announce({ ...deps, db }, task);
    db.afterCommit(() => deps.hub.raise('interrupt', attempt.agent_id));
    return getTask({ ...deps, db }, principal, task.id);
  });
