import { z } from 'zod';

import type { ErrorCode } from '../errors.ts';
import type { RoutePermission } from '../permissions.ts';

export type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';

/** What a 2xx answer carries: JSON by a schema, nothing (204), plain text, an SSE stream, or a file to save. */
export type Output = z.ZodType | 'none' | 'text' | 'event-stream' | 'file';

type Shape = z.ZodObject | undefined;

/**
 * One endpoint, declared once. The coordinator implements it, the OpenAPI document describes it, the client calls it.
 *
 * - `path` is below `/api/v1` (and `/api`), parameters as `:id`.
 * - `audience: 'agent'` ignores unknown body fields (mixed versions are normal in a rollout); `'person'` refuses them.
 * - `aliases` are further methods that do the same (action routes take POST and PATCH).
 * - `body: 'bytes'` is an octet-stream of at most `max_bytes`; `'stream'` one that the verb takes in and limits itself.
 * - `creates` routes honour `Idempotency-Key`.
 */
export type Route<
  Params extends Shape = Shape,
  Query extends Shape = Shape,
  Body extends z.ZodType | 'bytes' | 'stream' | undefined = z.ZodType | 'bytes' | 'stream' | undefined,
  Out extends Output = Output,
> = {
  method: Method;
  path: string;
  summary: string;
  description?: string;
  permission: RoutePermission;
  audience: 'person' | 'agent';
  aliases?: readonly Method[];
  params?: Params;
  query?: Query;
  body?: Body;
  max_bytes?: number;
  status: 200 | 201 | 202 | 204;
  output: Out;
  errors: readonly ErrorCode[];
  creates?: boolean;
  /** Answers 200 instead of 201 when what it would create is there already, from the same caller. */
  repeatable?: boolean;
  /** Secret fields of the answer: left out when an idempotent request is replayed. */
  once_only?: readonly string[];
  tag: string;
};

/** Identity with inference: keeps the schema types of one endpoint. */
export const route = <
  Params extends Shape = undefined,
  Query extends Shape = undefined,
  Body extends z.ZodType | 'bytes' | 'stream' | undefined = undefined,
  Out extends Output = Output,
>(
  definition: Route<Params, Query, Body, Out>,
): Route<Params, Query, Body, Out> => definition;

type InferOr<S, Fallback> = S extends z.ZodType ? z.output<S> : Fallback;
type InputOr<S, Fallback> = S extends z.ZodType ? z.input<S> : Fallback;

type Given<K extends string, T> = [T] extends [undefined] ? unknown : { [key in K]: T };

/** What a handler receives after parsing: only the parts the endpoint has. */
export type RouteInput<R> =
  R extends Route<infer P, infer Q, infer B, Output>
    ? Given<'params', InferOr<P, undefined>> &
        Given<'query', InferOr<Q, undefined>> &
        Given<
          'body',
          B extends 'bytes' ? Uint8Array : B extends 'stream' ? AsyncIterable<Uint8Array> : InferOr<B, undefined>
        >
    : never;

/** Bytes that are read while they are sent, and from their beginning again when the request is repeated. */
export type ByteSource = { size: number; open: () => AsyncIterable<Uint8Array> };

/** What a caller passes: only the parts the endpoint has; parts whose fields are all optional may be left out. */
type Part<K extends string, T> = [T] extends [undefined]
  ? unknown
  : Record<never, never> extends T
    ? { [key in K]?: T }
    : { [key in K]: T };
export type CallInput<R> =
  R extends Route<infer P, infer Q, infer B, Output>
    ? Part<'params', InputOr<P, undefined>> &
        Part<'query', InputOr<Q, undefined>> &
        Part<
          'body',
          B extends 'bytes' ? Uint8Array : B extends 'stream' ? Uint8Array | ByteSource : InputOr<B, undefined>
        >
    : never;

/** What the endpoint answers, parsed. `text`, `event-stream` and `file` answer the raw response to read from. */
export type RouteOutput<R> =
  R extends Route<Shape, Shape, z.ZodType | 'bytes' | 'stream' | undefined, infer Out>
    ? Out extends z.ZodType
      ? z.output<Out>
      : Out extends 'none'
        ? null
        : Response
    : never;
