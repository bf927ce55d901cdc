import { z } from 'zod';

import { taskStatuses } from '../states/task.ts';
import { Id, IdParams, Name, Tag, text } from './common.ts';
import { route } from './route.ts';
import { priorities, Task, Title } from './task.ts';

export const bulkActions = [
  'backlog',
  'inbox',
  'assign',
  'unassign',
  'cancel',
  'retry',
  'delete',
  'priority',
  'labels',
] as const;

/** What one action needs beside its name. */
const needs = { assign: 'assigned_to', priority: 'priority' } as const;

export const BulkTasks = z
  .strictObject({
    ids: z.array(Id).min(1).max(500),
    action: z.enum(bulkActions),
    /** assign: to whom. */
    assigned_to: Name.optional(),
    /** priority: the new one. */
    priority: z.enum(priorities).optional(),
    /** labels: which to add and which to take away. */
    add_tags: z.array(Tag).max(32).optional(),
    remove_tags: z.array(Tag).max(32).optional(),
    /** cancel: why. */
    reason: text(500).optional(),
  })
  .superRefine((body, context) => {
    const wanted = Object.entries(needs).find(([action]) => action === body.action)?.[1];
    const given = wanted === undefined || body[wanted] !== undefined;
    if (!given) context.addIssue({ code: 'custom', path: [wanted], message: `${body.action} needs it` });
    if (body.action === 'labels' && body.add_tags === undefined && body.remove_tags === undefined)
      context.addIssue({ code: 'custom', path: ['add_tags'], message: 'labels needs add_tags or remove_tags' });
    const allowed: Record<string, string> = { assigned_to: 'assign', priority: 'priority', add_tags: 'labels' };
    for (const [field, action] of Object.entries({ ...allowed, remove_tags: 'labels', reason: 'cancel' }))
      if (field in body && body.action !== action)
        context.addIssue({ code: 'custom', path: [field], message: `belongs to the action ${action}` });
  });
export type BulkTasks = z.infer<typeof BulkTasks>;

export const BulkOutcome = z.object({
  id: Id,
  ok: z.boolean(),
  /** After the action; null when the task is gone or was not changed. */
  status: z.enum(taskStatuses).nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
export type BulkOutcome = z.infer<typeof BulkOutcome>;

export const bulkRoutes = {
  bulk: route({
    method: 'POST',
    path: '/tasks/bulk',
    tag: 'tasks',
    summary: 'Do one thing to up to 500 tasks, each for itself',
    description:
      'Every task is changed in a transaction of its own, as by the single route; what one refuses does not hold up the others. The answer is 200 with an outcome per id, in the order given.',
    permission: 'tasks:write',
    audience: 'person',
    body: BulkTasks,
    status: 200,
    output: z.object({ outcomes: z.array(BulkOutcome), succeeded: z.int(), failed: z.int() }),
    errors: [],
  }),
  duplicate: route({
    method: 'POST',
    path: '/tasks/:id/duplicate',
    tag: 'tasks',
    summary: 'Create a task with the same content and demands; nothing of its history, no times',
    permission: 'tasks:write',
    audience: 'person',
    params: IdParams,
    body: z.strictObject({ title: Title.optional(), status: z.enum(['backlog', 'inbox']).optional() }),
    status: 201,
    output: Task,
    errors: ['not_found', 'disk_full'],
    creates: true,
  }),
};
