import {
  type AttemptState,
  statesFor,
  taskLimits,
  taskMachine,
  type TaskStatus,
  type TaskVerb,
} from '@flotilla/shared';

import type { Sql } from '../db/client.ts';
import type { Database } from '../db/database.ts';
import { recordEvents } from '../events/record.ts';

/** The columns of a task that its transitions decide on. */
export type TaskRow = {
  id: number;
  workspace_id: number;
  status: TaskStatus;
  assigned_to: string | null;
  assigned_agent_id: number | null;
  claimed_by_agent_id: number | null;
  queue_class_id: number | null;
  epoch: number | null;
  review: string;
  attempts: number;
  dispatch_attempts: number;
  stale_requeues: number;
  cancel_requested_at: string | null;
  concurrency_key: string | null;
  deleted_at: string | null;
  version: number;
};

/** What a `TaskRow` is read from: the columns above, in one place for every verb that locks one. */
export const taskColumns = (sql: Sql) => sql`
  id, workspace_id, status, assigned_to, assigned_agent_id, claimed_by_agent_id, queue_class_id, epoch, review, attempts,
  dispatch_attempts, stale_requeues, cancel_requested_at, concurrency_key, deleted_at, version`;

/** Statuses a verb may start from, for the `where` of its conditional update. */
const fromStates = (verb: TaskVerb): string[] => [...statesFor(taskMachine, verb)];

/** Ends a live attempt and gives up its lease. False when it was not live any more. Locks lease, then attempt. */
export const endAttempt = async (
  db: Database,
  attempt: { id: number; task_id: number; epoch: number },
  end: {
    state: AttemptState;
    failure?: { kind: string; message: string } | null;
    exit_code?: number | null;
    session_id?: string | null;
    report_digest?: Uint8Array | null;
  },
): Promise<boolean> => {
  await db.sql`delete from leases where task_id = ${attempt.task_id} and epoch = ${attempt.epoch}`;
  const rows = await db.sql`
    update attempts set state = ${end.state}, ended_at = flotilla_now(), exit_code = ${end.exit_code ?? null},
      failure = ${end.failure == null ? null : JSON.stringify(end.failure)}::text::jsonb,
      session_id = coalesce(${end.session_id ?? null}, session_id), report_digest = ${end.report_digest ?? null}
    where id = ${attempt.id} and ended_at is null returning id`;
  return rows.length === 1;
};

export type Requeue = {
  /** Which limit this return counts against; null counts nothing. */
  counter: 'dispatch_attempts' | 'stale_requeues' | null;
  failure: { kind: string; message: string } | null;
  /** Milliseconds until it may be claimed again. */
  defer_ms: number;
  /** Failing now, whatever the counters say. */
  final?: boolean;
  event: `task.${string}`;
  /** The question it waits for an answer to: nobody can claim it until then. */
  asked_comment_id?: number;
};

/** Why a task that came back fails now: the last failure of a counter, or the hard stop whatever the returns counted. */
const limitReached = (task: TaskRow, counter: Requeue['counter']): string | null => {
  if (counter !== null && task[counter] + 1 >= taskLimits[counter])
    return `${taskLimits[counter]} of ${taskLimits[counter]} tries are used up (${counter})`;
  if (task.attempts >= taskLimits.attempts) return `${taskLimits.attempts} attempts are the most a task gets`;
  return null;
};

/** The last failure, and that it was the last. */
const giveUp = (failure: Requeue['failure'], spent: string) => {
  const { kind, message } = failure ?? { kind: 'attempts', message: 'It was handed back.' };
  return { kind, message: `${message} Given up: ${spent}.` };
};

/**
 * Puts a claimed task back into the queue, or ends it when a limit is reached or a cancel was asked for. Clears the
 * claim; the assignment stays. The caller holds the task's claim (its epoch) in this transaction.
 */
export const returnTask = async (db: Database, task: TaskRow, requeue: Requeue): Promise<TaskStatus> => {
  const spent = requeue.final === true ? null : limitReached(task, requeue.counter);
  const exhausted = requeue.final === true || spent !== null;
  const failure = spent === null ? requeue.failure : giveUp(requeue.failure, spent);
  const queued: TaskStatus = task.assigned_to === null ? 'inbox' : 'assigned';
  const status: TaskStatus = task.cancel_requested_at !== null ? 'cancelled' : exhausted ? 'failed' : queued;
  const ended = status !== queued;
  const asked = ended ? null : (requeue.asked_comment_id ?? null);
  const [row] = await db.sql<{ version: number }[]>`
    update tasks set status = ${status}, claimed_by_agent_id = null, version = version + 1, updated_at = flotilla_now(),
      dispatch_attempts = dispatch_attempts + ${requeue.counter === 'dispatch_attempts' ? 1 : 0},
      stale_requeues = stale_requeues + ${requeue.counter === 'stale_requeues' ? 1 : 0},
      failure = coalesce(${failure === null ? null : JSON.stringify(failure)}::text::jsonb, failure),
      asked_comment_id = ${asked},
      deferred_until = case when ${asked !== null} then 'infinity' when ${ended || requeue.defer_ms === 0} then null else flotilla_now() + ${requeue.defer_ms} * interval '1 ms' end,
      completed_at = case when ${ended} then flotilla_now() end
    where id = ${task.id} and status = any(${fromStates('unclaim')}::text[]) and epoch = ${task.epoch}
    returning version`;
  if (row === undefined) throw new Error(`task ${task.id} left its claim within the transaction that holds it`);
  await recordEvents(db, [
    {
      type: ended ? `task.${status}` : requeue.event,
      entity_id: task.id,
      workspace_id: task.workspace_id,
      version: row.version,
      agent_id: task.claimed_by_agent_id,
      summary: {
        status,
        ...(asked === null ? {} : { comment_id: asked }),
        ...(failure === null ? {} : { kind: failure.kind }),
        ...(requeue.counter === null ? {} : { [requeue.counter]: task[requeue.counter] + 1 }),
      },
    },
  ]);
  return status;
};
