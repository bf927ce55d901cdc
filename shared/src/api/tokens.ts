import { z } from 'zod';

import { Id, IdParams, NextCursor, PageQuery, Tags, text, Timestamp } from './common.ts';
import { route } from './route.ts';

export const agentRoles = ['agent', 'reviewer'] as const;
export const apiTokenRoles = ['viewer', 'operator', 'admin'] as const;

/** A one-time credential for one host. What it grants (tags, role, slots) comes from here, never from the host. */
export const JoinToken = z.object({
  id: Id,
  tags: z.array(z.string()),
  role: z.enum(agentRoles),
  slots: z.int(),
  name_pattern: z.string().nullable(),
  expires_at: Timestamp,
  used_at: Timestamp.nullable(),
  used_by_agent_id: Id.nullable(),
  revoked_at: Timestamp.nullable(),
  created_by: z.string(),
  created_at: Timestamp,
});
export type JoinToken = z.infer<typeof JoinToken>;

export const ApiToken = z.object({
  id: Id,
  name: z.string(),
  role: z.enum(apiTokenRoles),
  expires_at: Timestamp.nullable(),
  last_used_at: Timestamp.nullable(),
  revoked_at: Timestamp.nullable(),
  created_by: z.string(),
  created_at: Timestamp,
});
export type ApiToken = z.infer<typeof ApiToken>;

export const CreateJoinToken = z.strictObject({
  /** Seconds until it can no longer be used; default one hour, at most 30 days. */
  expires_in_s: z
    .int()
    .min(1)
    .max(30 * 86_400)
    .default(3600),
  /** Scheduling tags the agent gets: tasks with `required_tags` match against these. */
  tags: Tags.default([]),
  role: z.enum(agentRoles).default('agent'),
  /** Ceiling of tasks at a time; also the number for a host that reports none. */
  slots: z.int().min(1).max(1024).optional(),
  /** Glob (`*`, `?`) that the agent's name must match. */
  name_pattern: text(100).min(1).optional(),
});

export const CreateApiToken = z.strictObject({
  name: text(100).min(1),
  role: z.enum(apiTokenRoles),
  /** Seconds until it expires; without it, it never does. */
  expires_in_s: z
    .int()
    .min(1)
    .max(3650 * 86_400)
    .optional(),
});

export const joinTokenRoutes = {
  create: route({
    method: 'POST',
    path: '/join_tokens',
    tag: 'tokens',
    summary: 'Create a one-time join token; the plaintext is shown once',
    permission: 'tokens:admin',
    audience: 'person',
    body: CreateJoinToken,
    status: 201,
    output: JoinToken.extend({ token: z.string().optional() }),
    once_only: ['token'],
    errors: [],
    creates: true,
  }),
  list: route({
    method: 'GET',
    path: '/join_tokens',
    tag: 'tokens',
    summary: 'List join tokens, newest first',
    permission: 'tokens:admin',
    audience: 'person',
    query: PageQuery,
    status: 200,
    output: z.object({ join_tokens: z.array(JoinToken), next_cursor: NextCursor }),
    errors: [],
  }),
  revoke: route({
    method: 'DELETE',
    path: '/join_tokens/:id',
    tag: 'tokens',
    summary: 'Revoke a join token',
    permission: 'tokens:admin',
    audience: 'person',
    params: IdParams,
    status: 204,
    output: 'none',
    errors: ['not_found'],
  }),
};

export const apiTokenRoutes = {
  create: route({
    method: 'POST',
    path: '/api_tokens',
    tag: 'tokens',
    summary: 'Create a user API token; the plaintext is shown once',
    permission: 'tokens:admin',
    audience: 'person',
    body: CreateApiToken,
    status: 201,
    output: ApiToken.extend({ token: z.string().optional() }),
    once_only: ['token'],
    errors: ['name_taken'],
    creates: true,
  }),
  list: route({
    method: 'GET',
    path: '/api_tokens',
    tag: 'tokens',
    summary: 'List API tokens, newest first',
    permission: 'tokens:admin',
    audience: 'person',
    query: PageQuery,
    status: 200,
    output: z.object({ api_tokens: z.array(ApiToken), next_cursor: NextCursor }),
    errors: [],
  }),
  revoke: route({
    method: 'DELETE',
    path: '/api_tokens/:id',
    tag: 'tokens',
    summary: 'Revoke an API token',
    permission: 'tokens:admin',
    audience: 'person',
    params: IdParams,
    status: 204,
    output: 'none',
    errors: ['not_found'],
  }),
};
