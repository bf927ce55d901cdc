import { createHash } from 'node:crypto';

import { AppError, type AttemptState, type TaskStatus } from '@flotilla/shared';

import type { Sql } from '../db/client.ts';
import type { Deps } from '../deps.ts';
import { findFutureEpochs } from './future-epochs.ts';
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
  /** It was polled by hand: calls like this one renew its lease. */
  polled: boolean;
};

/** Whose attempts a principal speaks of: an agent of its own, an attempt's token of this one alone. */
export const ownAttempt = (sql: Sql, { kind, id, workspace_id }: Principal) =>
  sql`workspace_id = ${workspace_id} and ${kind === 'attempt' ? sql`id` : sql`agent_id`} = ${id}`;

/** What an agent speaks of: its own claim of a task. */
export type Claimed = { principal: Principal; task_id: number; epoch: number };

/**
 * Finds and locks what each (task, epoch) of an agent means, or why it means nothing. Another agent's: 404. An epoch
 * without an attempt: a lost lease. Deleted task: 410, the only order to stop that is not a verdict. Served by
 * leases_pkey, attempts_epoch and tasks_pkey; rows of one table in the order of tasks, as every batch locks them.
 */
export const lockAttempts = async (deps: Deps, claimed: Claimed[]): Promise<(Held | AppError)[]> => {
  const { sql } = deps.db;
  const task_ids = claimed.map(({ task_id }) => task_id);
  const epochs = claimed.map(({ epoch }) => epoch);
  // Sent together, run one after the other.
  const [leases, attempts, tasks] = await Promise.all([
    sql<{ epoch: number; polled: boolean }[]>`
      select l.epoch, l.call_lease_ms is not null as polled from leases l join unnest(${task_ids}::bigint[], ${epochs}::bigint[]) as c (task_id, epoch)
        on l.task_id = c.task_id and l.epoch = c.epoch
      where l.task_id = any(${task_ids}::bigint[])
      order by l.task_id for no key update of l`,
    sql<(AttemptRow & { agent_id: number })[]>`
      select id, task_id, epoch, state, ended_at, report_digest, agent_id from attempts
      where epoch = any(${epochs}::bigint[]) order by task_id for no key update`,
    sql<TaskRow[]>`
      select ${taskColumns(sql)} from tasks where id = any(${task_ids}::bigint[]) order by id for no key update`,
  ]);
  const attemptByEpoch = new Map(attempts.map((attempt) => [attempt.epoch, attempt]));
  const polled = new Set(leases.filter((lease) => lease.polled).map((lease) => lease.epoch));
  const taskById = new Map(tasks.map((task) => [task.id, task]));
  await findFutureEpochs(
    deps,
    epochs.filter((epoch) => !attemptByEpoch.has(epoch)),
  );
  return claimed.map(({ principal, task_id, epoch }) => {
    const attempt = attemptByEpoch.get(epoch);
    // Of a history that a restore threw away, or of a task deleted long ago: its host must not report it for ever.
    if (attempt === undefined)
      return new AppError('lease_lost', { hint: 'stop this attempt; its epoch is unknown here' });
    const task = taskById.get(task_id);
    const own =
      attempt.task_id === task_id &&
      (principal.kind === 'attempt' ? attempt.id : attempt.agent_id) === principal.id &&
      task?.workspace_id === principal.workspace_id;
    if (!own || task === undefined)
      return new AppError('not_found', { sentence: `There is no attempt ${epoch} of task ${task_id} by this agent.` });
    return task.deleted_at === null ? heldOf(attempt, task, polled.has(epoch)) : new AppError('task_gone');
  });
};

/**
 * An attempt whose claim ended without a report, of a task that waits and that nobody claimed since: a success is still
 * welcome (as flotilla_complete judges), and its files are.
 */
export const isLatestUnclaimed = (
  attempt: Pick<AttemptRow, 'epoch' | 'report_digest'>,
  task: Pick<TaskRow, 'epoch' | 'status'>,
): boolean =>
  attempt.report_digest === null &&
  task.epoch === attempt.epoch &&
  (['inbox', 'assigned'] as TaskStatus[]).includes(task.status);

const heldOf = (attempt: AttemptRow, task: TaskRow, polled: boolean): Held => {
  const live = attempt.ended_at === null && task.epoch === attempt.epoch && task.status === 'in_progress';
  return { attempt, task, live, polled };
};

/** The same for one, thrown when it means nothing. */
export const lockAttempt = async (deps: Deps, principal: Principal, task_id: number, epoch: number): Promise<Held> => {
  const [held] = await lockAttempts(deps, [{ principal, task_id, epoch }]);
  if (held === undefined || held instanceof AppError) throw held;
  return held;
};

export const leaseLost = (held: Held): AppError =>
  new AppError('lease_lost', {
    hint: 'stop this attempt; the task goes on without it',
    details: { status: held.task.status, epoch: held.task.epoch, attempt: held.attempt.state },
  });

/** The identity of a report: the same one may be sent any number of times. */
export const digestReport = (kind: string, body: unknown): Uint8Array =>
  createHash('sha256').update(kind).update(JSON.stringify(body)).digest();
