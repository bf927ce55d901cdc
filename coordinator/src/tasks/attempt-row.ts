import { createHash } from 'node:crypto';

import { AppError, type AttemptState, type TaskStatus } from '@flotilla/shared';

import type { Database } from '../db/database.ts';
import type { Principal } from '../principal.ts';
import { taskColumns, type TaskRow } from './lifecycle.ts';

export type AttemptRow = {
  id: number;
  task_id: number;
  epoch: number;
  state: AttemptState;
  ended_at: string | null;
  report_digest: Uint8Array | null;
};

/** The attempt an agent speaks of, locked (lease, then attempt, then task: every verb in this order), with its task. */
export type Held = {
  attempt: AttemptRow;
  task: TaskRow;
  /** It owns the task right now. */
  live: boolean;
  /** Its claim ended without a report, nobody claimed since: a success is still welcome. */
  latest_unclaimed: boolean;
};

/**
 * Finds and locks what (task, epoch) of an agent means. Unknown or another agent's: 404. Deleted task: 410, the only
 * order to stop that is not a verdict.
 */
export const lockAttempt = async (
  db: Database,
  principal: Principal,
  task_id: number,
  epoch: number,
): Promise<Held> => {
  await db.sql`select 1 from leases where task_id = ${task_id} and epoch = ${epoch} for no key update`;
  const [attempt] = await db.sql<AttemptRow[]>`
    select id, task_id, epoch, state, ended_at, report_digest from attempts
    where epoch = ${epoch} and task_id = ${task_id} and agent_id = ${principal.id} and workspace_id = ${principal.workspace_id} for no key update`;
  const [task] = await db.sql<TaskRow[]>`
    select ${taskColumns(db.sql)} from tasks where id = ${task_id} and workspace_id = ${principal.workspace_id} for no key update`;
  if (attempt === undefined || task === undefined)
    throw new AppError('not_found', { sentence: `There is no attempt ${epoch} of task ${task_id} by this agent.` });
  if (task.deleted_at !== null) throw new AppError('task_gone');
  const live = attempt.ended_at === null && task.epoch === epoch && task.status === 'in_progress';
  const latest_unclaimed =
    !live &&
    attempt.report_digest === null &&
    task.epoch === epoch &&
    (['inbox', 'assigned'] as TaskStatus[]).includes(task.status);
  return { attempt, task, live, latest_unclaimed };
};

export const leaseLost = (held: Held): AppError =>
  new AppError('lease_lost', {
    hint: 'stop this attempt; the task goes on without it',
    details: { status: held.task.status, epoch: held.task.epoch, attempt: held.attempt.state },
  });

/** The identity of a report: the same one may be sent any number of times. */
export const digestReport = (kind: string, body: unknown): Uint8Array =>
  createHash('sha256').update(kind).update(JSON.stringify(body)).digest();
