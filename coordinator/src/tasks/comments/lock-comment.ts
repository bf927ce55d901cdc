import { AppError } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { requireTask, type VisibleTask } from '../queries.ts';

type Row = { id: number; author_kind: string; author_id: number; deleted_at: string | null };

/** A comment that the principal may change, locked: its own, or any for an admin. Deleted ones do not exist any more. */
export const lockComment = async (
  deps: Deps,
  principal: Principal,
  params: { id: number; comment_id: number },
): Promise<{ task: VisibleTask; comment_id: number }> => {
  const task = await requireTask(deps, principal, params.id);
  const [comment] = await deps.db.sql<Row[]>`
    select id, author_kind, author_id, deleted_at from task_comments
    where id = ${params.comment_id} and task_id = ${task.id} and workspace_id = ${task.workspace_id} for no key update`;
  if (comment === undefined || comment.deleted_at !== null)
    throw new AppError('not_found', { sentence: `Task ${task.id} has no comment ${params.comment_id}.` });
  const own = comment.author_kind === principal.kind && comment.author_id === principal.id;
  if (!own && principal.role !== 'admin')
    throw new AppError('forbidden', { hint: 'only its author and admins may change a comment' });
  return { task, comment_id: comment.id };
};
