import { AppError, type api, type Comment, roleGrants, type RouteInput } from '@flotilla/shared';

import { recordAudit } from '../../audit/record.ts';
import type { Database } from '../../db/database.ts';
import type { Deps } from '../../deps.ts';
import { recordEvents } from '../../events/record.ts';
import { type Principal, principalLabel } from '../../principal.ts';
import { announce } from '../announce.ts';
import { lockTask } from '../lock-task.ts';
import { patchTask } from '../patch.ts';
import { answerQuestion, lockQuestion } from '../questions/answer.ts';
import { requireTask } from '../queries.ts';
import { indexTask } from '../search/index-task.ts';
import { knownMentions } from './mentions.ts';
import { readComment } from './queries.ts';

/**
 * Says something about a task. A mention assigns only for those who may write tasks: an agent that talks about its task
 * must not be able to give others work.
 */
export const createComment = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.comments.create>,
): Promise<Comment> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    const task = await requireTask(inner, principal, params.id);
    if (body.reply_to != null) await requireComment(db, task.id, body.reply_to);
    const question = await lockQuestion(db, principal, task, body.reply_to ?? null);
    // What answers a question is a reply to it, also when somebody else was faster.
    const reply_to = question?.comment_id ?? body.reply_to ?? null;
    const mentions = await knownMentions(db.sql, task.workspace_id, body.text);
    const id = await insertComment(db, principal, { task_id: task.id, reply_to, text: body.text, mentions });
    await recordEvents(db, [
      {
        type: 'task.commented',
        entity_id: task.id,
        workspace_id: task.workspace_id,
        version: task.version,
        agent_id: task.agent_id,
        summary: { comment_id: id, reply_to, mentions },
      },
    ]);
    await recordAudit(db, principal, {
      action: 'comment.create',
      entity: 'comment',
      entity_id: id,
      details: { task_id: task.id },
    });
    if (question?.open === true) await answerQuestion(inner, principal, question);
    const [first] = mentions;
    if (first !== undefined && roleGrants(principal.role, 'tasks:write'))
      await assignMentioned(inner, principal, task.id, first);
    await indexTask(db, task.id);
    announce(inner, null);
    return readComment(db.sql, id);
  });

const requireComment = async (db: Database, task_id: number, id: number): Promise<void> => {
  const rows = await db.sql`select 1 from task_comments where id = ${id} and task_id = ${task_id}`;
  if (rows.length === 0)
    throw new AppError('not_found', { sentence: `reply_to: task ${task_id} has no comment ${id}.` });
};

/** Stores a comment by a principal; also what a verb says in somebody's name (the feedback of a verdict). */
export const insertComment = async (
  db: Database,
  principal: Principal,
  comment: { task_id: number; reply_to: number | null; text: string; mentions: string[]; question?: boolean },
): Promise<number> => {
  const agent = db.sql`(select agent_id from attempts where id = ${principal.id})`;
  const [row] = await db.sql<{ id: number }[]>`
    insert into task_comments (workspace_id, task_id, reply_to, author, author_kind, author_id, agent_id, text, mentions, question)
    values (${principal.workspace_id}, ${comment.task_id}, ${comment.reply_to}, ${principalLabel(principal)}, ${principal.kind}, ${principal.id},
      ${principal.kind === 'attempt' ? agent : principal.kind === 'agent' ? principal.id : null}, ${comment.text}, ${comment.mentions}::text[], ${comment.question ?? false})
    returning id`;
  if (row === undefined) throw new Error('insert returned no row');
  return row.id;
};

/** Gives an unassigned, unclaimed task to the agent named; decided under the lock, so that two mentions assign once. */
const assignMentioned = async (deps: Deps, principal: Principal, task_id: number, name: string): Promise<void> => {
  const task = await lockTask(deps.db, principal, task_id);
  if (task.assigned_to !== null || (task.status !== 'inbox' && task.status !== 'backlog')) return;
  await patchTask(deps, principal, { params: { id: task_id }, body: { assigned_to: name } });
};
