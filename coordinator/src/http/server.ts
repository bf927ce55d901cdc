import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { getRequestListener } from '@hono/node-server';

import type { Deps } from '../deps.ts';
import { createApp } from './app.ts';

/**
 * Connections that wait to be accepted. A fleet that returns comes faster than a process that has just started takes it:
 * beyond Node's 511 the kernel drops what comes, and a host learns of it by its own ten-second limit. The kernel caps
 * this at net.core.somaxconn.
 */
const BACKLOG = 16_384;

export type HttpServer = {
  url: string;
  /** Answers parked polls and ends streams, waits for open requests up to the limit, then closes their connections. */
  close(): Promise<void>;
};

/** Listens; rejects with the system's error (address in use, not permitted). */
export const startHttp = async (deps: Deps): Promise<HttpServer> => {
  const { FLOTILLA_HOST, FLOTILLA_PORT, FLOTILLA_SHUTDOWN_MS } = deps.config;
  const stopping = new AbortController();
  const app = createApp(deps, stopping.signal);
  // Longer than the idle time of proxies and of agentd's own connections: the client closes first, so no request is
  // sent into a closing socket.
  const server = createServer(
    { keepAliveTimeout: 75_000, headersTimeout: 80_000, requestTimeout: 120_000 },
    getRequestListener(app.fetch),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: FLOTILLA_PORT, host: FLOTILLA_HOST, backlog: BACKLOG }, resolve);
  });
  const { port } = server.address() as AddressInfo; // a TCP server has one
  const host = FLOTILLA_HOST.includes(':') ? `[${FLOTILLA_HOST}]` : FLOTILLA_HOST;
  return {
    url: `http://${host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), FLOTILLA_SHUTDOWN_MS);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        stopping.abort(new Error('the coordinator is stopping'));
        server.closeIdleConnections();
      }),
  };
};
