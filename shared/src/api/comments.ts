import { z } from 'zod';

import { Id, IdParam, IdParams, NextCursor, PageQuery, text, Timestamp } from './common.ts';
import { route } from './route.ts';

/** What people and agents say about a task. A deleted one keeps its place in the thread; its text is gone. */
export const Comment = z.object({
  id: Id,
  task_id: Id,
  /** The comment it answers, of the same task. */
  reply_to: Id.nullable(),
  /** `token:ci`, `agent:scout`, `attempt:TASK-12`. */
  author: z.string(),
  /** The agent behind it, when an agent or its attempt wrote it. */
  agent: z.string().nullable(),
  /** Exactly as given; null once deleted. */
  text: z.string().nullable(),
  /** Agents of this workspace that it names with @; anything else after an @ is just text. */
  mentions: z.array(z.string()),
  /** An attempt ended with it, and the task waited for the answer. */
  question: z.boolean(),
  created_at: Timestamp,
  edited_at: Timestamp.nullable(),
  deleted_at: Timestamp.nullable(),
});
export type Comment = z.infer<typeof Comment>;

export const CommentText = text(65_536).refine((value) => value.trim() !== '', 'must not be blank');

const shared = { tag: 'comments', audience: 'person' } as const;
const one = {
  ...shared,
  path: '/tasks/:id/comments/:comment_id',
  permission: 'tasks:comment',
  params: IdParams.extend({ comment_id: IdParam }),
  errors: ['not_found', 'forbidden'],
} as const;

export const commentRoutes = {
  list: route({
    ...shared,
    method: 'GET',
    path: '/tasks/:id/comments',
    summary: 'List the comments of a task, newest first',
    permission: 'tasks:read',
    params: IdParams,
    query: PageQuery,
    status: 200,
    output: z.object({ comments: z.array(Comment), next_cursor: NextCursor }),
    errors: ['not_found'],
  }),
  create: route({
    ...shared,
    method: 'POST',
    path: '/tasks/:id/comments',
    summary: 'Comment on a task; naming an agent with @ may assign the task to it',
    description:
      'Agents comment on their own tasks, attempts on theirs. When a person names an agent of the workspace and the task is unassigned in inbox or backlog, it is assigned to the first agent named. Unknown names stay text. While the task waits for an answer, a comment of a person that replies to its question, or to nothing, answers it: it becomes a reply to the question, and the task is queued again.',
    permission: 'tasks:comment',
    params: IdParams,
    body: z.strictObject({ text: CommentText, reply_to: Id.nullish() }),
    status: 201,
    output: Comment,
    errors: ['not_found'],
    creates: true,
  }),
  edit: route({
    ...one,
    method: 'PATCH',
    aliases: ['PUT'],
    summary: 'Change the text of a comment: its author, or an admin; assigns nothing',
    body: z.strictObject({ text: CommentText }),
    status: 200,
    output: Comment,
  }),
  delete: route({
    ...one,
    method: 'DELETE',
    summary: 'Delete a comment: its author, or an admin; what answers it stays',
    description: 'A task that waits for an answer to it waits no more.',
    status: 204,
    output: 'none',
  }),
};
