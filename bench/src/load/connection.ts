import { connect, type Socket } from 'node:net';

export type Answer = { status: number; body: string };

/**
 * One kept-alive HTTP/1.1 connection that asks one thing at a time. The load generator shares two cores with what it
 * measures: this costs a quarter of node:http's client, so that less of a figure is the generator's own.
 */
export type Connection = {
  request(method: string, path: string, token: string, body?: string | Uint8Array): Promise<Answer>;
  close(): void;
};

type Waiting = { resolve: (answer: Answer) => void; reject: (error: Error) => void };

const HEAD_END = '\r\n\r\n';

/** Whole answers only, with a Content-Length or without body: all that the coordinator's JSON routes send. */
export const readAnswer = (bytes: Buffer): { answer: Answer; length: number } | null => {
  const end = bytes.indexOf(HEAD_END);
  if (end === -1) return null;
  const head = bytes.toString('latin1', 0, end);
  const status = Number(head.slice(9, 12));
  const size = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  const length = end + HEAD_END.length + size;
  if (bytes.length < length) return null;
  return { answer: { status, body: bytes.toString('utf8', length - size, length) }, length };
};

export const openSocket = async (url: URL): Promise<Socket> => {
  const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
};

export const openConnection = async (url: URL): Promise<Connection> => {
  const socket = await openSocket(url);
  let waiting: Waiting | null = null;
  let received: Buffer = Buffer.alloc(0);
  const fail = (error: Error) => {
    waiting?.reject(error);
    waiting = null;
  };
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the connection was closed')));
  socket.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const read = readAnswer(received);
    if (read === null) return;
    received = received.subarray(read.length);
    const asked = waiting;
    waiting = null;
    asked?.resolve(read.answer);
  });
  return {
    request: (method, path, token, body = '') =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) throw new Error('the connection was closed');
        waiting = { resolve, reject };
        const type = typeof body === 'string' ? 'application/json' : 'application/octet-stream';
        const length = Buffer.byteLength(body);
        const head = `${method} ${path} HTTP/1.1\r\nhost: ${url.host}\r\nauthorization: Bearer ${token}\r\ncontent-type: ${type}\r\ncontent-length: ${length}${HEAD_END}`;
        if (typeof body === 'string') socket.write(head + body);
        else {
          socket.cork();
          socket.write(head);
          socket.write(body);
          socket.uncork();
        }
      }),
    close: () => socket.destroy(),
  };
};

/** Opens many, some at a time: a server's backlog is finite. */
export const openConnections = async (url: URL, count: number): Promise<Connection[]> => {
  const opened: Connection[] = [];
  while (opened.length < count) {
    const more = Array.from({ length: Math.min(100, count - opened.length) }, () => openConnection(url));
    opened.push(...(await Promise.all(more)));
  }
  return opened;
};
