import { randomUUID } from 'node:crypto';

import { api, AppError, type Route } from '@flotilla/shared';
import { Hono } from 'hono';

import type { Deps } from '../deps.ts';
import { auditHandlers } from '../routes/audit.ts';
import { agentHandlers } from '../routes/agents.ts';
import { attachmentHandlers } from '../routes/attachments.ts';
import { commentHandlers } from '../routes/comments.ts';
import { eventHandlers } from '../routes/events.ts';
import { expiryHandlers } from '../routes/expiry.ts';
import { mountOperations } from '../routes/operations.ts';
import { reviewHandlers } from '../routes/reviews.ts';
import { taskHandlers } from '../routes/tasks.ts';
import { apiTokenHandlers, joinTokenHandlers } from '../routes/tokens.ts';
import { workspaceHandlers } from '../routes/workspaces.ts';
import type { Handler, Handlers } from './context.ts';
import type { Bindings, Environment } from './environment.ts';
import { errorAnswer, toAppError } from './errors.ts';
import { implement } from './implement.ts';
import { createRouter } from './router.ts';
import { createUntil } from './until.ts';

const handlers: { [G in keyof typeof api]: Handlers<(typeof api)[G]> } = {
  workspaces: workspaceHandlers,
  join_tokens: joinTokenHandlers,
  api_tokens: apiTokenHandlers,
  agents: agentHandlers,
  tasks: taskHandlers,
  comments: commentHandlers,
  reviews: reviewHandlers,
  attachments: attachmentHandlers,
  expiry: expiryHandlers,
  events: eventHandlers,
  audit: auditHandlers,
};

const answerError = (error: AppError, request_id: string): Response => {
  const { status, body, headers } = errorAnswer(error, request_id);
  return new Response(JSON.stringify(body), { status, headers });
};

/**
 * Around every request, from its id to its duration. Not a middleware: beside one, Hono composes the handler of each request
 * anew.
 */
const observe = (app: Hono<Environment>, { metrics }: Deps, stopping: AbortSignal): void => {
  const { fetch } = app;
  app.fetch = async (request, { incoming, outgoing }: Partial<Bindings> = {}) => {
    const env: Bindings = { request_id: randomUUID(), route: 'unknown', incoming, outgoing };
    const started = performance.now();
    const response = await fetch(request, env);
    // The last answer of its connection, or whoever was answered would ask again over it.
    if (stopping.aborted && outgoing !== undefined) outgoing.shouldKeepAlive = false;
    metrics.requests.observe(
      { route: env.route, status: String(response.status) },
      (performance.now() - started) / 1000,
    );
    return response;
  };
};

/** The whole HTTP surface: request id, metrics, the contract's routes, the operators' pages, one catch-all for errors. */
export const createApp = (deps: Deps, stopping: AbortSignal): Hono<Environment> => {
  const app = new Hono<Environment>({ router: createRouter() });
  const makeUntil = createUntil(stopping);
  observe(app, deps, stopping);

  for (const [resource, routes] of Object.entries(api)) {
    const group = handlers[resource as keyof typeof api] as Record<string, Handler<Route>>; // same keys, see the type of `handlers`
    for (const [name, route] of Object.entries(routes)) {
      const handler = group[name];
      if (handler === undefined) throw new Error(`${resource}.${name} has no handler`);
      implement(app, deps, route as Route, handler, makeUntil);
    }
  }
  mountOperations(app, deps);

  app.notFound((c) => {
    return answerError(
      new AppError('not_found', {
        sentence: `There is no ${c.req.method} ${c.req.path}.`,
        hint: 'the contract is at /api/v1/openapi.json',
      }),
      c.env.request_id,
    );
  });

  app.onError((thrown, c) => {
    const error = toAppError(thrown);
    const request_id = c.env.request_id;
    if (error.code === 'internal')
      deps.log.error({ error: thrown, request_id, route: c.env.route }, 'a request failed');
    else if (error.code === 'unavailable')
      deps.log.warn({ error: thrown, request_id, route: c.env.route }, 'the database did not answer');
    return answerError(error, request_id);
  });
  return app;
};
