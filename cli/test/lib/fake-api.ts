import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';

import { AppError, ErrorBody, errorCatalog, listRoutes, type Route } from '@flotilla/shared';
import { z } from 'zod';

export type Received = {
  operation: string;
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  params: Record<string, string>;
  query: Record<string, string>;
  body: unknown;
};

/** Answers one operation: a body (checked by the contract), or the raw response for streams. Throw an AppError for errors. */
export type Handler = (request: Received, response: ServerResponse) => unknown;
export const RAW = Symbol('the handler answered by itself');

const matchers = listRoutes().map(([operation, route]) => ({
  operation,
  route,
  pattern: new RegExp(`^/api/v1${route.path.replaceAll(/:([a-z_]+)/g, '(?<$1>[^/]+)')}$`),
}));

const find = (method: string, path: string) => {
  for (const { operation, route, pattern } of matchers) {
    const found = pattern.exec(path);
    if (found !== null && route.method === method) return { operation, route, params: { ...found.groups } };
  }
  return null;
};

/** What the real coordinator would refuse is refused here as well. */
const checkInput = (route: Route, { params, query, body }: Received): void => {
  const parts: [z.ZodType | undefined, unknown][] = [
    [route.params, params],
    [route.query, query],
    [typeof route.body === 'string' ? undefined : route.body, body],
  ];
  for (const [schema, value] of parts) {
    const parsed = schema?.safeParse(value ?? {});
    if (parsed?.success === false) throw new AppError('invalid_input', { details: { issues: parsed.error.issues } });
  }
};

const sendError = (response: ServerResponse, error: unknown): void => {
  const known = error instanceof AppError ? error : new AppError('internal', { sentence: String(error) });
  const body = ErrorBody.parse({
    error: known.message,
    code: known.code,
    hint: known.hint,
    details: known.details,
    request_id: 'req-42',
  });
  response.writeHead(errorCatalog[known.code].status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};

const answer = async (
  handlers: Record<string, Handler>,
  received: Received[],
  request: IncomingMessage,
  response: ServerResponse,
) => {
  const url = new URL(request.url ?? '/', 'http://fake');
  const method = request.method ?? 'GET';
  const raw = await text(request);
  const found = find(method, url.pathname);
  const call: Received = {
    operation: found?.operation ?? 'none',
    method,
    url: request.url ?? '/',
    headers: request.headers,
    params: found?.params ?? {},
    query: Object.fromEntries(url.searchParams),
    body: raw === '' ? undefined : JSON.parse(raw),
  };
  received.push(call);
  const handler = handlers[call.operation];
  if (found === null || handler === undefined) throw new AppError('not_found');
  if (request.headers.authorization === undefined) throw new AppError('unauthenticated');
  checkInput(found.route, call);
  const body = await handler(call, response);
  if (body === RAW) return;
  const { output, status } = found.route;
  if (output === 'none') {
    response.writeHead(204).end();
    return;
  }
  if (typeof output === 'string') throw new Error(`${call.operation} must answer by itself`);
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(output.parse(body)));
};

export type FakeApi = {
  url: string;
  received: Received[];
  calls: (operation: string) => Received[];
  on: (operation: string, handler: Handler) => void;
  reset: () => void;
  close: () => Promise<void>;
};

/** A coordinator in name only: real HTTP, answers by script, every answer parsed by the contract's own schemas. */
export const startFakeApi = async (): Promise<FakeApi> => {
  let handlers: Record<string, Handler> = {};
  const received: Received[] = [];
  const server = createServer((request, response) => {
    answer(handlers, received, request, response).catch((error: unknown) => sendError(response, error));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    received,
    calls: (operation) => received.filter((call) => call.operation === operation),
    on: (operation, handler) => {
      handlers[operation] = handler;
    },
    reset: () => {
      handlers = {};
      received.length = 0;
      server.closeAllConnections();
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};
