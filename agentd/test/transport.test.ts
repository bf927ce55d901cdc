import { randomBytes } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

import { type ByteSource, fetchTransport, type Transport } from '@flotilla/shared';
import { expect, test, type TestContext } from 'vitest';

import { createTransport } from '../src/transport.ts';

const serve = async ({ onTestFinished }: TestContext, listener: RequestListener): Promise<string> => {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server has one
};
const ours = ({ onTestFinished }: TestContext): Transport => {
  const { transport, close } = createTransport();
  onTestFinished(close);
  return transport;
};
/** Answers with the body. */
const echo: RequestListener = (request, response) => void request.pipe(response);

const PIECE = 100_000;
/** So many pieces of 100 kB, and how often they were asked for and left. */
const source = (pieces: number): ByteSource & { opened: number; closed: number } => {
  const self = {
    size: pieces * PIECE,
    opened: 0,
    closed: 0,
    open: async function* () {
      self.opened += 1;
      try {
        for (let piece = 0; piece < pieces; piece++) yield Buffer.alloc(PIECE, piece);
      } finally {
        self.closed += 1;
      }
    },
  };
  return self;
};
const post = (transport: Transport, url: string, body: ByteSource) =>
  transport({ method: 'POST', url, headers: {}, body });

test.for([
  ['core http', ours],
  ['fetch', () => fetchTransport],
] as const)('%s sends a source to its last byte', async ([, choose], context) => {
  const url = await serve(context, echo);
  const body = source(50);
  const answer = await post(choose(context), url, body);
  const came = Buffer.from(await answer.arrayBuffer());
  expect(came.equals(await buffer(source(50).open()))).toBe(true);
  expect(body).toMatchObject({ opened: 1, closed: 1 });
});

test('a source is opened again for a connection that was closed in the moment it was used', async (context) => {
  let asked = 0;
  const url = await serve(context, (request, response) => {
    asked += 1;
    // The second one comes over the connection of the first.
    if (asked === 2) request.socket.resetAndDestroy();
    else echo(request, response);
  });
  const transport = ours(context);
  await post(transport, url, source(1));
  const body = source(30);
  const answer = await post(transport, url, body);
  expect((await answer.arrayBuffer()).byteLength).toBe(30 * PIECE);
  expect(asked).toBe(3);
  expect(body).toMatchObject({ opened: 2, closed: 2 });
});

test('an answer that comes before the body is sent is heard, and the rest stays unread', async (context) => {
  const url = await serve(context, (request, response) => {
    request.pause();
    response.writeHead(413).end('too large');
  });
  const body = source(1000);
  const answer = await post(ours(context), url, body);
  expect(answer.status).toBe(413);
  expect(await answer.text()).toBe('too large');
  await expect.poll(() => body.closed).toBe(1);
});

test('trouble with the source is the call’s', async (context) => {
  const url = await serve(context, echo);
  const open = async function* () {
    yield randomBytes(10);
    throw new Error('the disk is broken');
  };
  await expect(post(ours(context), url, { size: 100, open })).rejects.toThrow('the disk is broken');
});
