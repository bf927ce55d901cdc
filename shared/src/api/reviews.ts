import { z } from 'zod';

import { CommentText } from './comments.ts';
import { Id, IdParams, NextCursor, PageQuery, Timestamp } from './common.ts';
import { route } from './route.ts';
import { Task } from './task.ts';

export const verdicts = ['approved', 'rejected'] as const;

/** A verdict on delivered work; each is kept. */
export const Review = z.object({
  id: Id,
  task_id: Id,
  /** Number of the attempt whose work was judged. */
  attempt: z.int().nullable(),
  verdict: z.enum(verdicts),
  feedback: z.string().nullable(),
  /** The comment that says the feedback to all. */
  comment_id: Id.nullable(),
  reviewer: z.string(),
  created_at: Timestamp,
});
export type Review = z.infer<typeof Review>;

const verdict = {
  method: 'POST',
  aliases: ['PATCH'],
  tag: 'reviews',
  permission: 'tasks:review',
  audience: 'person',
  params: IdParams,
  status: 200,
  output: Task,
  errors: ['not_found', 'task_running', 'invalid_transition', 'version_mismatch'],
} as const;

export const reviewRoutes = {
  approve: route({
    ...verdict,
    path: '/tasks/:id/approve',
    summary: 'Accept the work of a task in review: it is done',
    body: z.strictObject({ feedback: CommentText.optional() }),
  }),
  reject: route({
    ...verdict,
    path: '/tasks/:id/reject',
    summary: 'Send the work of a task in review back to the queue; the third rejection ends it as failed',
    description: 'The feedback becomes a comment, and part of the prompt of the next attempt.',
    body: z.strictObject({ feedback: CommentText }),
  }),
  list: route({
    method: 'GET',
    path: '/tasks/:id/reviews',
    tag: 'reviews',
    summary: 'List the verdicts on a task, newest first',
    permission: 'tasks:read',
    audience: 'person',
    params: IdParams,
    query: PageQuery,
    status: 200,
    output: z.object({ reviews: z.array(Review), next_cursor: NextCursor }),
    errors: ['not_found'],
  }),
};
