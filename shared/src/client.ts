import { z } from 'zod';

import { api } from './api/index.ts';
import type { ByteSource, CallInput, Route, RouteOutput } from './api/route.ts';
import { ErrorBody } from './errors.ts';

/** The protocol version spoken by this build; a coordinator speaks this one and the one before. */
export const PROTOCOL_VERSION = 1;

export type TransportRequest = {
  method: string;
  url: string;
  headers: Record<string, string>;
  body?: string | Uint8Array | ByteSource;
  signal?: AbortSignal;
};
/** How bytes travel: `fetch` here, core http in agentd (undici costs a daemon 14–24 MB). */
export type Transport = (request: TransportRequest) => Promise<Response>;

const asStream = ({ open }: ByteSource): ReadableStream<Uint8Array> => {
  const bytes = open()[Symbol.asyncIterator]();
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await bytes.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => void (await bytes.return?.()),
  });
};

export const fetchTransport: Transport = ({ url, body, ...init }) => {
  if (typeof body === 'object' && 'open' in body) {
    // `duplex` is what a stream needs; the types of `fetch` do not know it everywhere.
    const streamed = { body: asStream(body), duplex: 'half' };
    return fetch(url, { ...init, ...streamed });
  }
  // `fetch` wants an ArrayBuffer-backed view; every Uint8Array in this project is one.
  return fetch(url, { ...init, body: body as BodyInit | undefined });
};

/** An answer that is not 2xx. `code` is null when the body is not ours: a proxy answered, nothing is known. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string | null;
  readonly hint: string | null;
  readonly details: Record<string, unknown> | null;
  readonly request_id: string | null;
  readonly retry_after_s: number | null;

  constructor(status: number, body: ErrorBody | null, retry_after_s: number | null) {
    super(body?.error ?? `HTTP ${status} without an error body of Flotilla`);
    this.name = 'ApiError';
    this.status = status;
    this.code = body?.code ?? null;
    this.hint = body?.hint ?? null;
    this.details = body?.details ?? null;
    this.request_id = body?.request_id ?? null;
    this.retry_after_s = retry_after_s;
  }
}

/** A 2xx answer whose body is not what the contract says: a proxy's page, half an answer. Nothing may be concluded. */
export class BadAnswerError extends Error {
  override name = 'BadAnswerError';
}

/** Idempotency-Key for creations, If-Match for patches, and the like. */
export type CallOptions = { signal?: AbortSignal; headers?: Record<string, string> };

type Call<R> =
  Record<never, never> extends CallInput<R>
    ? (input?: CallInput<R>, options?: CallOptions) => Promise<RouteOutput<R>>
    : (input: CallInput<R>, options?: CallOptions) => Promise<RouteOutput<R>>;

type Api = typeof api;
/** `client.tasks.get({params: {id: 12}})`: one function per endpoint, typed by the contract. */
export type Client = { [G in keyof Api]: { [R in keyof Api[G]]: Call<Api[G][R]> } };

export type ClientOptions = {
  base_url: string;
  /** Asked before every request, so that a rotated token is used at once. */
  token: string | null | (() => string | null);
  transport?: Transport;
  user_agent?: string;
};

type Scalar = string | number | boolean | undefined;
type AnyInput = { params?: Record<string, Scalar>; query?: Record<string, Scalar>; body?: unknown };

const buildUrl = (base_url: string, route: Route, input: AnyInput): string => {
  const path = route.path.replaceAll(/:([a-z_]+)/g, (_, name: string) =>
    encodeURIComponent(String(input.params?.[name])),
  );
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(input.query ?? {})) if (value !== undefined) query.set(key, String(value));
  const search = query.size > 0 ? `?${query}` : '';
  return `${base_url.replace(/\/+$/, '')}/api/v1${path}${search}`;
};

const readError = async (response: Response): Promise<ApiError> => {
  const raw = await response.text();
  const header = Number(response.headers.get('retry-after') ?? Number.NaN);
  let body: unknown = null;
  try {
    body = JSON.parse(raw);
  } catch {
    // Not JSON: somebody between us and the coordinator answered. `code` stays null.
  }
  const parsed = ErrorBody.safeParse(body);
  return new ApiError(response.status, parsed.success ? parsed.data : null, Number.isFinite(header) ? header : null);
};

const readJson = async (response: Response, schema: z.ZodType): Promise<unknown> => {
  const raw = await response.text();
  let json: unknown;
  try {
    json = raw === '' ? null : JSON.parse(raw);
  } catch (cause) {
    throw new BadAnswerError(`HTTP ${response.status} with a body that is not JSON`, { cause });
  }
  const parsed = schema.safeParse(json);
  // A newer coordinator is no error: its new fields are kept, its new enum values let through.
  if (!parsed.success && !parsed.error.issues.every((issue) => issue.code === 'invalid_value')) {
    throw new BadAnswerError(`HTTP ${response.status} with an unexpected body: ${z.prettifyError(parsed.error)}`);
  }
  return json;
};

/** Calls one endpoint. Throws `ApiError` (not 2xx), `BadAnswerError` (2xx but not ours) or the transport's error. */
export const callRoute = async (
  options: ClientOptions,
  route: Route,
  input: AnyInput,
  call: CallOptions,
): Promise<unknown> => {
  const token = typeof options.token === 'function' ? options.token() : options.token;
  const bytes = route.body === 'bytes' || route.body === 'stream';
  const request: TransportRequest = {
    method: route.method,
    url: buildUrl(options.base_url, route, input),
    headers: {
      accept: 'application/json, text/plain, text/event-stream',
      'flotilla-protocol': String(PROTOCOL_VERSION),
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(options.user_agent === undefined ? {} : { 'user-agent': options.user_agent }),
      ...(input.body === undefined ? {} : { 'content-type': bytes ? 'application/octet-stream' : 'application/json' }),
      ...call.headers,
    },
  };
  if (input.body !== undefined)
    request.body = bytes ? (input.body as Uint8Array | ByteSource) : JSON.stringify(input.body);
  if (call.signal !== undefined) request.signal = call.signal;
  const response = await (options.transport ?? fetchTransport)(request);
  if (!response.ok) throw await readError(response);
  const output = route.output;
  if (output === 'text' || output === 'event-stream' || output === 'file') return response;
  if (output === 'none') {
    await response.arrayBuffer();
    if (response.status !== 204) throw new BadAnswerError(`HTTP ${response.status} where 204 was expected`);
    return null;
  }
  // A 204 is null, and null must be what the endpoint may answer: a proxy's 204 is not.
  return readJson(response, output);
};

/** A typed client over the whole contract. */
export const createClient = (options: ClientOptions): Client =>
  Object.fromEntries(
    Object.entries(api).map(([resource, routes]) => [
      resource,
      Object.fromEntries(
        Object.entries(routes).map(([name, route]) => [
          name,
          (input: AnyInput = {}, call: CallOptions = {}) => callRoute(options, route as Route, input, call),
        ]),
      ),
    ]),
  ) as unknown as Client; // Object.entries loses the keys; the mapped type says per endpoint what this loop does for all
