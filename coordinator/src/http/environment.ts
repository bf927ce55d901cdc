import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Context } from 'hono';

/** What goes with one request; the last two are Node's sides of it, which tests that call the app directly do not have. */
export type Bindings = {
  request_id: string;
  route: string;
  incoming: IncomingMessage | undefined;
  outgoing: ServerResponse | undefined;
};
export type Environment = { Bindings: Bindings };

/**
 * A header by its name in lower case. Node has them in a plain object already; by way of `Headers` each look-up takes five
 * times as long. Not for `authorization`, of which Node hides a second one.
 */
export const headerOf = ({ req, env }: Context<Environment>, name: string): string | undefined =>
  env.incoming === undefined ? req.header(name) : env.incoming.headers[name]?.toString();
