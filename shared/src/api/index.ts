import { agentRoutes } from './agents.ts';
import { attachmentRoutes } from './attachments.ts';
import { auditRoutes } from './audit.ts';
import { commentRoutes } from './comments.ts';
import { expiryRoutes } from './expiry.ts';
import { eventRoutes } from './events.ts';
import { reviewRoutes } from './reviews.ts';
import type { Route } from './route.ts';
import { taskRoutes } from './tasks.ts';
import { apiTokenRoutes, joinTokenRoutes } from './tokens.ts';
import { workspaceRoutes } from './workspaces.ts';

/** The whole contract by resource. Within a resource, fixed paths stand before `/:id` ones. */
export const api = {
  workspaces: workspaceRoutes,
  join_tokens: joinTokenRoutes,
  api_tokens: apiTokenRoutes,
  agents: agentRoutes,
  tasks: taskRoutes,
  comments: commentRoutes,
  reviews: reviewRoutes,
  attachments: attachmentRoutes,
  expiry: expiryRoutes,
  events: eventRoutes,
  audit: auditRoutes,
};

/** Every endpoint as [operation id, route], for OpenAPI, permission tests and the coordinator's mount check. */
export const listRoutes = (): [string, Route][] =>
  Object.entries(api).flatMap(([resource, routes]) =>
    Object.entries(routes).map(([name, definition]): [string, Route] => [`${resource}.${name}`, definition as Route]),
  );
