import { connect, type Socket } from 'node:net';

import { PROTOCOL_VERSION } from '@flotilla/shared';

import { type Answer, readAnswer } from '../load/connection.ts';
import type { Tally } from './tally.ts';

/** No answer: refused, reset, closed in the middle, or too late. Nothing may be concluded from it. */
export class NoAnswerError extends Error {
  override name = 'NoAnswerError';
}

export type Request = {
  method: string;
  path: string;
  token: string;
  body?: unknown;
  bytes?: Buffer;
  deadline_ms: number;
  headers?: string;
};

/**
 * The kept-alive connections of one host, as agentd holds them: an idle one is used again, else there is a new one. So a
 * host that waits for work has two, one parked and one for its beats.
 */
export type Lines = { request(request: Request): Promise<Answer>; close(): void };

type Waiting = { resolve(answer: Answer): void; reject(error: Error): void };
type Line = { socket: Socket; waiting: Waiting | null; received: Buffer; used: boolean };

const encodeRequest = (host: string, { method, path, token, body, bytes, headers = '' }: Request): Buffer => {
  const content = bytes ?? Buffer.from(body === undefined ? '' : JSON.stringify(body));
  const type = bytes === undefined ? 'application/json' : 'application/octet-stream';
  const authorization = token === '' ? '' : `authorization: Bearer ${token}\r\n`;
  const head = `${method} /api/v1${path} HTTP/1.1\r\nhost: ${host}\r\n${authorization}flotilla-protocol: ${PROTOCOL_VERSION}\r\ncontent-type: ${type}\r\n${headers}content-length: ${content.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), content]);
};

export const createLines = (url: URL, tally: Tally): Lines => {
  const all = new Set<Line>();
  const idle: Line[] = [];

  const end = (line: Line, why: string) => {
    all.delete(line);
    const at = idle.indexOf(line);
    if (at !== -1) idle.splice(at, 1);
    line.socket.destroy();
    const { waiting } = line;
    line.waiting = null;
    waiting?.reject(new NoAnswerError(why));
  };

  const take = (line: Line, chunk: Buffer) => {
    line.received = line.received.length === 0 ? chunk : Buffer.concat([line.received, chunk]);
    const read = readAnswer(line.received);
    if (read === null) return;
    // A copy would be kept alive by what is left of the chunk it came in.
    line.received = read.length === line.received.length ? Buffer.alloc(0) : line.received.subarray(read.length);
    const { waiting } = line;
    line.waiting = null;
    line.used = true;
    idle.push(line);
    if (read.answer.status >= 500) tally.add('server_errors');
    waiting?.resolve(read.answer);
  };

  const open = (): Line => {
    const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
    const line: Line = { socket, waiting: null, received: Buffer.alloc(0), used: false };
    all.add(line);
    tally.addOpened();
    let connected = false;
    socket.once('connect', () => {
      connected = true;
      tally.add('connects');
    });
    socket.on('data', (chunk: Buffer) => take(line, chunk));
    socket.once('error', (error) => {
      if (!connected) tally.add('connects_refused');
      end(line, error.message);
    });
    socket.once('close', () => end(line, 'the connection was closed'));
    return line;
  };

  const exchange = async (line: Line, request: Request): Promise<Answer> => {
    tally.add('requests');
    const timer = setTimeout(() => end(line, `no answer within ${request.deadline_ms} ms`), request.deadline_ms);
    try {
      return await new Promise<Answer>((resolve, reject) => {
        line.waiting = { resolve, reject };
        line.socket.write(encodeRequest(url.host, request));
      });
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    request: async (request) => {
      const line = idle.pop() ?? open();
      const { used } = line;
      try {
        return await exchange(line, request);
      } catch (error) {
        // As agentd: the other side closed an idle connection in the moment we used it; every call may be repeated.
        if (!used || all.size > 8) throw error;
        return exchange(open(), request);
      }
    },
    close: () => {
      for (const line of all) end(line, 'this host is gone');
    },
  };
};
