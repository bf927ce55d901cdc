import { AppError, type Route, type RoutePermission } from '@flotilla/shared';
import type { Context, Hono } from 'hono';
import { z } from 'zod';

import type { Deps } from '../deps.ts';
import { type Caller, type Principal, requirePermission } from '../principal.ts';
import { parseJson, readBytes } from './body.ts';
import type { Handler, PublicCall } from './context.ts';
import { type Environment, headerOf } from './environment.ts';
import { runOnce } from './idempotency.ts';
import { checkProtocol, identify } from './principal.ts';
import { respond } from './respond.ts';
import { type MakeUntil, releasedAtEnd, type Until } from './until.ts';

const MAX_JSON_BYTES = 1_310_720; // a resolution of 1 MB and its quoting
const PREFIXES = ['/api/v1', '/api'];

type AnyHandler = (call: PublicCall<Route>) => Promise<unknown>;

/**
 * Mounts one endpoint under /api/v1 and /api, with its aliases: protocol, principal, permission, parsing, idempotency,
 * answer. The only place that knows how the contract becomes HTTP.
 */
export const implement = <R extends Route>(
  app: Hono<Environment>,
  deps: Deps,
  route: R,
  handler: Handler<R>,
  makeUntil: MakeUntil,
): void => {
  // Taken out of the route here: with fifty routes of as many shapes, each look at one costs a search.
  const { params: params_schema, body: body_schema, permission } = route;
  const name = `${route.method} ${route.path}`;
  const query_schema = querySchema(route);
  const creates = route.creates === true;
  const streams = isStream(route);
  const handle = async (c: Context<Environment>): Promise<Response> => {
    c.env.route = name;
    checkProtocol(c);
    const principal = await identify(deps, c);
    requireAllowed(principal, permission);
    const input = {
      params: params_schema?.parse(c.req.param()),
      query: query_schema?.parse(c.req.query()),
      body: body_schema === undefined ? undefined : await parseBody(deps, route, body_schema, c),
    };
    if (permission === 'agent:self') requireSelf(principal, input.params);
    const if_match = readIfMatch(c);
    const last_event_id = readLastEventId(c);
    let until: Until | null = null;
    const caller: Caller = {
      gone: () => c.req.raw.signal.aborted,
      until: () => (until ??= makeUntil(c.req.raw.signal)).signal,
    };
    const run = (within: Deps) =>
      (handler as unknown as AnyHandler)({ deps: within, principal, input, caller, if_match, last_event_id });
    const key = creates && principal !== null ? headerOf(c, 'idempotency-key') : undefined;
    let answer: unknown;
    const release = () => until?.release();
    try {
      answer =
        key === undefined || principal === null
          ? await run(deps)
          : await runOnce(deps, principal, { key, route, body: input.body }, run);
    } catch (error) {
      release();
      throw error;
    }
    if (streams) answer = releasedAtEnd(answer as AsyncIterable<unknown>, release);
    else release();
    return respond(route, answer, c.env);
  };
  for (const prefix of PREFIXES) app.on([route.method, ...(route.aliases ?? [])], [`${prefix}${route.path}`], handle);
};

/** Public routes are for anybody. */
const requireAllowed = (principal: Principal | null, permission: RoutePermission): void => {
  if (permission === 'public') return;
  if (principal === null)
    throw new AppError('unauthenticated', { hint: 'send Authorization: Bearer <token>, or x-api-key' });
  requirePermission(principal, permission);
};

/** Their handlers answer a generator of what is sent. */
const isStream = ({ output }: Route): boolean => output === 'text' || output === 'event-stream';

/** A misspelt filter must not silently answer everything: people's query parameters are checked like their bodies. */
const querySchema = (route: Route): z.ZodType<Record<string, unknown>> | undefined =>
  route.audience === 'person' ? (route.query ?? z.object({})).strict() : route.query;

const parseBody = async (
  deps: Deps,
  route: Route,
  schema: z.ZodType | 'bytes' | 'stream',
  c: Context<Environment>,
): Promise<unknown> => {
  if (schema === 'stream') return c.req.raw.body ?? [];
  const bytes = await readBytes(c, route.max_bytes ?? MAX_JSON_BYTES);
  if (schema === 'bytes') return bytes;
  const json = unwrap(route, parseJson(bytes));
  const parsed = schema.parse(json);
  if (route.audience === 'agent') countUnknown(deps, route, json, parsed);
  return parsed;
};

/** A PATCH takes its fields bare or wrapped: {"task": {…}}. */
const unwrap = (route: Route, json: unknown): unknown => {
  if (route.method !== 'PATCH' || typeof json !== 'object' || json === null) return json;
  const wrapper = route.tag.replace(/s$/, '');
  const entries = Object.entries(json);
  return entries.length === 1 && entries[0]?.[0] === wrapper ? entries[0][1] : json;
};

const countUnknown = (deps: Deps, route: Route, given: unknown, parsed: unknown): void => {
  if (typeof given !== 'object' || given === null || typeof parsed !== 'object' || parsed === null) return;
  const unknown = Object.keys(given).filter((key) => !(key in parsed)).length;
  if (unknown > 0) deps.metrics.unknown_fields.inc({ route: route.path }, unknown);
};

/** `agent:self` routes name an agent in their path; another agent's record does not exist for this one. */
const requireSelf = (principal: Principal | null, params: Record<string, unknown> | undefined): void => {
  if (principal?.id !== params?.id) throw new AppError('not_found');
};

const readIfMatch = (c: Context<Environment>): number | undefined => {
  const header = headerOf(c, 'if-match');
  if (header === undefined || header === '*') return undefined;
  const version = Number(/^(?:W\/)?"?(\d{1,15})"?$/.exec(header)?.[1] ?? Number.NaN);
  if (Number.isNaN(version))
    throw new AppError('invalid_input', {
      sentence: 'If-Match: use the number of the row version, as the ETag gives it',
    });
  return version;
};

const readLastEventId = (c: Context<Environment>): number | undefined => {
  const header = headerOf(c, 'last-event-id');
  if (header === undefined || header === '') return undefined;
  if (!/^\d{1,15}$/.test(header))
    throw new AppError('invalid_input', { sentence: 'Last-Event-ID: use the id of the last event, unchanged' });
  return Number(header);
};
