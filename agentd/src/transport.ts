import http from 'node:http';
import https from 'node:https';
import { pipeline } from 'node:stream';

import type { Transport, TransportRequest } from '@flotilla/shared';

/** More than any answer of the coordinator; a proxy that sends more is cut off. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

type Answer = { status: number; headers: http.IncomingHttpHeaders; body: Buffer };

/**
 * Only what `createClient` uses of a `Response`. The global `Response` class loads undici: 8 MB of RSS for a daemon
 * that needs five members of it.
 */
const toResponse = ({ status, headers, body }: Answer): Response => {
  const answer = {
    ok: status >= 200 && status < 300,
    status,
    headers: {
      get: (name: string): string | null => {
        const value = headers[name.toLowerCase()];
        return value === undefined ? null : Array.isArray(value) ? value.join(', ') : value;
      },
    },
    text: () => Promise.resolve(body.toString('utf8')),
    arrayBuffer: () => Promise.resolve(Uint8Array.from(body).buffer),
  };
  // The contract's Transport type names the whole class; agentd calls only JSON and empty endpoints.
  return answer as unknown as Response;
};

const collect = (response: http.IncomingMessage, resolve: (answer: Answer) => void, reject: (error: Error) => void) => {
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    chunks.push(chunk);
    if (size > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too large'));
  });
  response.on('error', reject);
  response.on('close', () => {
    // `close` without `complete` is half an answer: nothing may be concluded from it.
    if (!response.complete) return reject(new Error('the connection closed in the middle of an answer'));
    resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) });
  });
};

const lengthOf = (body: NonNullable<TransportRequest['body']>): number => {
  if (typeof body === 'string') return Buffer.byteLength(body);
  return 'open' in body ? body.size : body.byteLength;
};

const sendBody = (call: http.ClientRequest, body: TransportRequest['body'], onError: (error: Error) => void): void => {
  if (typeof body !== 'object' || !('open' in body)) return void call.end(body);
  pipeline(body.open(), call, (error) => {
    if (error) onError(error);
  });
};

/** Creates a transport over core http(s) with kept-alive connections; `close` ends the idle ones. */
export const createTransport = (): { transport: Transport; close: () => void } => {
  // No maxSockets: a log upload that hangs must never keep a heartbeat waiting for a socket.
  const options: http.AgentOptions = { keepAlive: true, keepAliveMsecs: 10_000, maxFreeSockets: 8 };
  const agents = { 'http:': new http.Agent(options), 'https:': new https.Agent(options) };

  const send = (request: TransportRequest): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const url = new URL(request.url);
      const secure = url.protocol === 'https:';
      const { body } = request;
      const headers = {
        ...request.headers,
        ...(body === undefined ? {} : { 'content-length': String(lengthOf(body)) }),
      };
      const call = (secure ? https : http).request(url, {
        method: request.method,
        agent: secure ? agents['https:'] : agents['http:'],
        headers,
        signal: request.signal,
      });
      const finish = (answer: Answer): void => {
        resolve(answer);
        // It was answered while it was read: nobody will take the rest.
        if (typeof body === 'object' && 'open' in body && !call.writableFinished) call.destroy();
      };
      call.on('response', (response) => collect(response, finish, reject));
      const fail = (error: Error): void =>
        reject(
          request.signal?.aborted === true
            ? (request.signal.reason as Error)
            : Object.assign(error, { stale_socket: call.reusedSocket }),
        );
      call.on('error', fail);
      sendBody(call, body, fail);
    });

  const transport: Transport = async (request) => {
    try {
      return toResponse(await send(request));
    } catch (error) {
      // The other side closed an idle connection in the moment we used it. Every call of agentd may be repeated.
      if ((error as { stale_socket?: boolean }).stale_socket !== true || request.signal?.aborted === true) throw error;
      return toResponse(await send(request));
    }
  };
  return {
    transport,
    close: () => {
      agents['http:'].destroy();
      agents['https:'].destroy();
    },
  };
};
