import { recordAudit } from '../../audit/record.ts';
import type { Database } from '../../db/database.ts';
import type { Deps } from '../../deps.ts';
import { recordEvents } from '../../events/record.ts';
import type { Principal } from '../../principal.ts';
import { announce } from '../announce.ts';
import { lockTask } from '../lock-task.ts';
import { requireTask, type VisibleTask } from '../queries.ts';

/** A question and its task, locked. `open`: the task still waits for the answer. */
export type Question = { task_id: number; comment_id: number; open: boolean };

const lockTaskOf = async (
  db: Database,
  principal: Principal,
  { task_id, comment_id }: { task_id: number; comment_id: number },
): Promise<Question> => {
  await lockTask(db, principal, task_id);
  const [row] = await db.sql`select 1 from tasks where id = ${task_id} and asked_comment_id = ${comment_id}`;
  return { task_id, comment_id, open: row !== undefined };
};

/** The question that a new comment answers: of a person, a reply to it or to nothing. Null: it is just a comment. */
export const lockQuestion = async (
  db: Database,
  principal: Principal,
  task: VisibleTask,
  reply_to: number | null,
): Promise<Question | null> => {
  const comment_id = task.asked_comment_id;
  if (comment_id === null || principal.kind !== 'api_token') return null;
  if (reply_to !== null && reply_to !== comment_id) return null;
  return lockTaskOf(db, principal, { task_id: task.id, comment_id });
};

/** A person answered: the task may be claimed again. */
export const answerQuestion = async (deps: Deps, principal: Principal, question: Question): Promise<void> => {
  await endWait(deps, question, 'answered');
  await recordAudit(deps.db, principal, {
    action: 'task.answer',
    entity: 'task',
    entity_id: question.task_id,
    details: { comment_id: question.comment_id },
  });
};

/** The question that is about to be deleted, when its task waits for the answer; the task is locked before the comment. */
export const lockWithdrawn = async (
  deps: Deps,
  principal: Principal,
  params: { id: number; comment_id: number },
): Promise<Question | null> => {
  const task = await requireTask(deps, principal, params.id);
  if (task.asked_comment_id !== params.comment_id) return null;
  return lockTaskOf(deps.db, principal, { task_id: task.id, comment_id: params.comment_id });
};

/** The question was deleted: nobody can answer it, so the task goes on without. */
export const withdrawQuestion = (deps: Deps, question: Question): Promise<void> =>
  question.open ? endWait(deps, question, 'question_deleted') : Promise.resolve();

/** Puts the task back into its queue (unless a person parked it); the caller holds its row and saw the question open. */
const endWait = async (
  deps: Deps,
  { task_id, comment_id }: Question,
  why: 'answered' | 'question_deleted',
): Promise<void> => {
  const { db } = deps;
  const [row] = await db.sql<
    {
      workspace_id: number;
      version: number;
      status: string;
      assigned_agent_id: number | null;
      queue_class_id: number | null;
      claimable: boolean;
    }[]
  >`
    update tasks set asked_comment_id = null, answered = answered or ${why === 'answered'},
      deferred_until = case when not_before > flotilla_now() then not_before end, version = version + 1, updated_at = flotilla_now()
    where id = ${task_id} and asked_comment_id = ${comment_id}
    returning workspace_id, version, status, assigned_agent_id, queue_class_id, status <> 'backlog' and deferred_until is null as claimable`;
  if (row === undefined) throw new Error(`task ${task_id} stopped waiting under its lock`);
  await recordEvents(db, [
    {
      type: `task.${why}`,
      entity_id: task_id,
      workspace_id: row.workspace_id,
      version: row.version,
      agent_id: row.assigned_agent_id,
      summary: { status: row.status, comment_id },
    },
  ]);
  announce(deps, row.claimable ? row : null);
};
