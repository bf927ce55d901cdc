import type { Route, RouteInput, RouteOutput } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Download } from '../download.ts';
import type { Chunk } from '../events/frames.ts';
import type { Caller, Principal } from '../principal.ts';

/** What a handler of one endpoint gets: parsed input and who calls. */
export type Call<R> = {
  deps: Deps;
  principal: Principal;
  input: RouteInput<R>;
  caller: Caller;
  /** The version an If-Match header names. */
  if_match: number | undefined;
  /** Where an event stream was cut, from its Last-Event-ID header. */
  last_event_id: number | undefined;
};

/** Public endpoints may be called by nobody. */
export type PublicCall<R> = Omit<Call<R>, 'principal'> & { principal: Principal | null };

/** JSON as the contract says; streams as what they yield. */
export type Answer<R> = R extends { output: 'text' }
  ? AsyncIterable<Uint8Array>
  : R extends { output: 'event-stream' }
    ? AsyncIterable<Chunk>
    : R extends { output: 'file' }
      ? Download
      : RouteOutput<R>;

/** The answer of a `repeatable` route to a repetition: it is 200, nothing was created. */
export class Repeated<T> {
  readonly answer: T;

  constructor(answer: T) {
    this.answer = answer;
  }
}

export type Handler<R> = (call: Call<R>) => Promise<Answer<R> | Repeated<Answer<R>>>;

/** One handler per endpoint of a resource: a missing one does not compile. */
export type Handlers<G extends Record<string, Route>> = { [K in keyof G]: Handler<G[K]> };
