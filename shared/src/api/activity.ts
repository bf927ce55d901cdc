import { z } from 'zod';

import { Id, IdParams, NextCursor, PageQuery, Timestamp } from './common.ts';
import { route } from './route.ts';

/** One thing that happened to a task. */
export const Activity = z.object({
  at: Timestamp,
  /**
   * An act of a person as the audit names it (`task.create`, `task.update`, `task.cancel`, `task.retry` …), `comment`,
   * `attempt.claimed`, `attempt.started`, `attempt.ended`, or `task.ended` when an attempt's end ended the task.
   */
  type: z.string(),
  /** Who did it; null: nobody, it followed. */
  who: z.string().nullable(),
  /** The agent of an attempt, or behind a comment. */
  agent: z.string().nullable(),
  /** Number of the attempt. */
  attempt: z.int().nullable(),
  comment_id: Id.nullable(),
  /** Text of the comment; null once deleted. */
  text: z.string().nullable(),
  /** `status` and `was`, `fields`, `assigned_to`, `reason`, `state`, `failure`, `reply_to` … whatever belongs to the type. */
  details: z.record(z.string(), z.unknown()),
});
export type Activity = z.infer<typeof Activity>;

export const activityRoute = route({
  method: 'GET',
  path: '/tasks/:id/activity',
  tag: 'tasks',
  summary: 'What happened to a task and who did it: acts, assignments, attempts and comments in one order',
  description:
    'Read from what is kept as long as the task (audit, attempts, comments), not from the event stream, whose rows are pruned after days. Oldest first; `order=desc` turns it around.',
  permission: 'tasks:read',
  audience: 'person',
  params: IdParams,
  query: PageQuery.extend({ order: z.enum(['asc', 'desc']).default('asc') }),
  status: 200,
  output: z.object({ activity: z.array(Activity), next_cursor: NextCursor }),
  errors: ['not_found'],
});
