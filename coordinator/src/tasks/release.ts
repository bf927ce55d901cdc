import { AppError, type api, type RouteInput, type Task } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Database } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { announce, announceEnded } from './announce.ts';
import { tellSilence } from './expire/tell-silence.ts';
import { endAttempt, returnTask } from './lifecycle.ts';
import { lockTask } from './lock-task.ts';
import { getTask } from './queries.ts';

type Lease = { attempt_id: number; epoch: number; held: boolean };

/**
 * An operator takes a running task from its agent: the attempt is lost, the epoch fences it, the task is queued again.
 * A held one (its host is lost, on_host_loss: hold) fails instead, as it does when the time of holding is over: whoever
 * chose `hold` wants no second run that nobody asked for. `retry` asks for it.
 */
export const releaseTask = (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.tasks.release>,
): Promise<Task> =>
  deps.db.transaction(async (db) => {
    // Lease, then attempt, then task: the order of every verb that touches all three. A beat that comes first ends the holding.
    const [lease] = await db.sql<Lease[]>`
      select l.attempt_id, l.epoch, l.held_until is not null and t.on_host_loss = 'hold' as held
      from leases l join tasks t on t.id = l.task_id
      where l.task_id = ${params.id} and l.workspace_id = ${principal.workspace_id} for no key update of l`;
    const [attempt] = await db.sql<{ id: number; task_id: number; epoch: number; agent_id: number }[]>`
      select id, task_id, epoch, agent_id from attempts
      where task_id = ${params.id} and workspace_id = ${principal.workspace_id} and ended_at is null for no key update`;
    const task = await lockTask(db, principal, params.id);
    if (attempt === undefined)
      throw new AppError('invalid_transition', { sentence: 'Nobody holds this task; there is nothing to release.' });
    const loss = lease?.held === true ? await lostWhileHeld(db, lease) : null;
    const taken = { kind: 'released_by_operator', message: 'An operator took the task away.' };
    await endAttempt(db, attempt, { state: 'lost', failure: loss ?? taken });
    const status = await returnTask(db, task, {
      counter: loss === null ? null : 'stale_requeues',
      failure: loss,
      defer_ms: 0,
      final: loss !== null,
      event: 'task.released',
    });
    await recordAudit(db, principal, {
      action: 'task.release',
      entity: 'task',
      entity_id: task.id,
      details: { epoch: attempt.epoch, was: task.status, status },
    });
    announceEnded({ ...deps, db }, [task]);
    announce({ ...deps, db }, status === 'inbox' || status === 'assigned' ? task : null);
    db.afterCommit(() => deps.hub.raise('interrupt', attempt.agent_id));
    return getTask({ ...deps, db }, principal, task.id);
  });

/** The same kind as of a holding that ended by itself: the host is lost, and the task did not run again. */
const lostWhileHeld = async (db: Database, lease: Lease) => ({
  kind: 'host_lost',
  message: `${await tellSilence(db, lease)} An operator ended the wait for it (on_host_loss: hold).`,
});
