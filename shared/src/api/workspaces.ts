import { z } from 'zod';

import { Id, IdParams, Name, NextCursor, PageQuery, text, Timestamp } from './common.ts';
import { Expiry } from './expiry.ts';
import { route } from './route.ts';

/** A tenant. Every token, agent and task belongs to exactly one; an id of another workspace is a 404 everywhere. */
export const Workspace = z.object({
  id: Id,
  slug: z.string(),
  name: z.string(),
  created_at: Timestamp,
  /** Set while nothing of it is claimed. */
  pause: z.object({ since: Timestamp, by: z.string(), reason: z.string().nullable() }).nullable(),
});
export type Workspace = z.infer<typeof Workspace>;

export const Principal = z.object({
  kind: z.enum(['api_token', 'agent', 'attempt']),
  id: Id,
  name: z.string(),
  role: z.string(),
});

export const StatusReport = z.object({
  version: z.string(),
  workspace: z.string(),
  pause: Workspace.shape.pause,
  expiry: Expiry,
  agents: z.record(z.string(), z.int()),
  tasks: z.record(z.string(), z.int()),
  slots: z.object({ total: z.int(), used: z.int() }),
  /** Queued tasks by why they wait: the first thing to look at when nothing moves. */
  waiting: z.record(z.string(), z.int()),
});
export type StatusReport = z.infer<typeof StatusReport>;

export const workspaceRoutes = {
  create: route({
    method: 'POST',
    path: '/workspaces',
    tag: 'workspaces',
    summary: 'Create a workspace and its first admin token',
    description: 'Only admins of the first workspace may. The token is shown once.',
    permission: 'workspaces:admin',
    audience: 'person',
    body: z.strictObject({ slug: Name, name: text(200).optional() }),
    status: 201,
    output: Workspace.extend({ token: z.string().optional() }),
    once_only: ['token'],
    errors: ['name_taken'],
    creates: true,
  }),
  list: route({
    method: 'GET',
    path: '/workspaces',
    tag: 'workspaces',
    summary: 'List the workspaces this token can see',
    permission: 'workspaces:admin',
    audience: 'person',
    query: PageQuery,
    status: 200,
    output: z.object({ workspaces: z.array(Workspace), next_cursor: NextCursor }),
    errors: [],
  }),
  pause: route({
    method: 'POST',
    aliases: ['PATCH'],
    path: '/workspaces/:id/pause',
    tag: 'workspaces',
    summary: 'Claim nothing of the workspace any more; with kill, also cancel everything that runs (emergency stop)',
    description:
      'No claim commits after the answer. Without `kill` running tasks go on. With it each running task is cancelled as by its own route; `cancelling` counts those that were asked by this call.',
    permission: 'agents:operate',
    audience: 'person',
    params: IdParams,
    body: z.strictObject({ kill: z.boolean().default(false), reason: text(500).optional() }),
    status: 200,
    output: z.object({ workspace: Workspace, cancelling: z.int() }),
    errors: ['not_found'],
  }),
  resume: route({
    method: 'POST',
    aliases: ['PATCH'],
    path: '/workspaces/:id/resume',
    tag: 'workspaces',
    summary: 'End a pause; waiting claims look at once',
    permission: 'agents:operate',
    audience: 'person',
    params: IdParams,
    status: 200,
    output: Workspace,
    errors: ['not_found'],
  }),
  me: route({
    method: 'GET',
    path: '/me',
    tag: 'workspaces',
    summary: 'Who this token is',
    permission: 'tasks:read',
    audience: 'person',
    status: 200,
    output: z.object({ principal: Principal, workspace: Workspace }),
    errors: [],
  }),
  status: route({
    method: 'GET',
    path: '/status',
    tag: 'workspaces',
    summary: 'Counts of agents, tasks and reasons for waiting',
    permission: 'agents:read',
    audience: 'person',
    status: 200,
    output: StatusReport,
    errors: [],
  }),
};
