import { AppError, can, taskMachine, type TaskVerb, whyNot } from '@flotilla/shared';

import type { Database } from '../db/database.ts';
import type { Principal } from '../principal.ts';
import { taskColumns, type TaskRow } from './lifecycle.ts';

/** The task a person acts on, locked; 404 when it is not theirs to see. */
export const lockTask = async (db: Database, principal: Principal, id: number): Promise<TaskRow> => {
  const [task] = await db.sql<TaskRow[]>`
    select ${taskColumns(db.sql)} from tasks where id = ${id} and workspace_id = ${principal.workspace_id} and deleted_at is null for no key update`;
  if (task === undefined) throw new AppError('not_found', { sentence: `There is no task ${id}.` });
  return task;
};

/** 409 with the reason when the machine has no such edge from the current status. */
export const requireEdge = (task: TaskRow, verb: TaskVerb): void => {
  if (can(taskMachine, verb, task.status)) return;
  const details = { status: task.status, version: task.version };
  if (task.status === 'in_progress')
    throw new AppError('task_running', { hint: 'cancel it, or wait until the attempt ends', details });
  throw new AppError('invalid_transition', { sentence: whyNot(taskMachine, verb, task.status) ?? undefined, details });
};
