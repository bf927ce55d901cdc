import { z } from 'zod';

import { activityRoute } from './activity.ts';
import { bulkRoutes } from './bulk.ts';
import { Count, IdParams, Name, NextCursor, PageQuery, QueryFlag, text } from './common.ts';
import { route } from './route.ts';
import { Attempt, CreateTask, logStreams, PatchTask, Task } from './task.ts';
import { TaskFilters } from './task-filters.ts';
import { workRoutes } from './work.ts';

export const exportFormats = ['json', 'csv'] as const;

const asPerson = { tag: 'tasks', audience: 'person', params: IdParams, status: 200, output: Task } as const;

/** Everything under /tasks. The agent's routes stand first: /tasks/next and /tasks/claim must not be read as ids. */
export const taskRoutes = {
  ...workRoutes,
  ...bulkRoutes,
  create: route({
    method: 'POST',
    path: '/tasks',
    tag: 'tasks',
    summary: 'Create a task',
    permission: 'tasks:write',
    audience: 'person',
    body: CreateTask,
    status: 201,
    output: Task,
    errors: ['disk_full'],
    creates: true,
  }),
  list: route({
    method: 'GET',
    path: '/tasks',
    tag: 'tasks',
    summary: 'List tasks, newest first; with `search`, the best matches first',
    permission: 'tasks:read',
    audience: 'person',
    query: PageQuery.extend(TaskFilters.shape),
    status: 200,
    output: z.object({ tasks: z.array(Task), next_cursor: NextCursor }),
    errors: [],
  }),
  exportAll: route({
    method: 'GET',
    path: '/tasks/export',
    tag: 'tasks',
    summary: 'Save all tasks that match as a JSON or CSV file, newest first',
    description:
      'Streamed. In CSV a text that a spreadsheet would take for a formula has an apostrophe in front. An answer that breaks off is not whole.',
    permission: 'tasks:read',
    audience: 'person',
    query: TaskFilters.extend({ format: z.enum(exportFormats).default('json') }),
    status: 200,
    output: 'file',
    errors: [],
  }),
  get: route({
    ...asPerson,
    method: 'GET',
    path: '/tasks/:id',
    summary: 'Show a task',
    permission: 'tasks:read',
    errors: ['not_found'],
  }),
  patch: route({
    ...asPerson,
    method: 'PATCH',
    aliases: ['PUT'],
    path: '/tasks/:id',
    summary: 'Change a task; takes the fields bare or wrapped in {"task": …}',
    description:
      'Of a running task only title, description, priority, due_date, tags and metadata change; the attempt keeps the prompt it was given. `If-Match: "version"` (the ETag) refuses to overwrite a newer row: 412 with the current one.',
    permission: 'tasks:write',
    body: PatchTask,
    errors: ['not_found', 'task_running', 'invalid_transition', 'version_mismatch'],
  }),
  delete: route({
    method: 'DELETE',
    path: '/tasks/:id',
    tag: 'tasks',
    summary: 'Delete a task that is not running',
    permission: 'tasks:write',
    audience: 'person',
    params: IdParams,
    status: 204,
    output: 'none',
    errors: ['not_found', 'task_running'],
  }),
  assign: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/assign',
    summary: 'Give a task to one agent by name',
    permission: 'tasks:write',
    body: z.strictObject({ assigned_to: Name }),
    errors: ['not_found', 'task_running', 'invalid_transition'],
  }),
  unassign: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/unassign',
    summary: 'Give a task back to any agent',
    permission: 'tasks:write',
    errors: ['not_found', 'task_running', 'invalid_transition'],
  }),
  cancel: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/cancel',
    summary: 'Cancel a task; of a running one the agent is asked, and the first terminal report wins',
    permission: 'tasks:write',
    body: z.strictObject({ reason: text(500).optional() }),
    errors: ['not_found', 'invalid_transition'],
  }),
  retry: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/retry',
    summary: 'Queue an ended task again; all its counters start anew',
    permission: 'tasks:write',
    errors: ['not_found', 'invalid_transition'],
  }),
  release: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/release',
    summary: 'Take a running task away from its agent and queue it again (an operator decides that the host is gone)',
    description:
      'A task that is held (on_host_loss is hold, and its lease ran out because the host fell silent) fails instead, with the failure host_lost: it does not run a second time by itself. A retry runs it again.',
    permission: 'agents:operate',
    errors: ['not_found', 'invalid_transition'],
  }),
  attempts: route({
    method: 'GET',
    path: '/tasks/:id/attempts',
    tag: 'tasks',
    summary: 'List the attempts of a task, newest first',
    permission: 'tasks:read',
    audience: 'person',
    params: IdParams,
    query: PageQuery,
    status: 200,
    output: z.object({ attempts: z.array(Attempt), next_cursor: NextCursor }),
    errors: ['not_found'],
  }),
  activity: activityRoute,
  readLog: route({
    method: 'GET',
    path: '/tasks/:id/log',
    tag: 'tasks',
    summary: 'Read the log of an attempt as text; follow=1 goes on until the attempt ends',
    description:
      "`attempt` is the attempt's number; without it, the newest. Without `stream` both are given in order of arrival; `from` is a byte offset and needs one stream.",
    permission: 'tasks:read',
    audience: 'person',
    params: IdParams,
    query: z.object({
      attempt: z.coerce.number().pipe(Count).optional(),
      stream: z.enum(logStreams).optional(),
      from: z.coerce.number().pipe(z.int().min(0)).default(0),
      follow: QueryFlag.default(false),
    }),
    status: 200,
    output: 'text',
    errors: ['not_found'],
  }),
};
