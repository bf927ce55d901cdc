import type { ServerResponse } from 'node:http';

/** A reader that takes nothing for this long is cut off; it comes back with its Last-Event-ID. */
const STALLED_MS = 30_000;

/**
 * Sends a stream without end straight to its socket. By way of a web stream each chunk of each reader cost 80 µs, and 500
 * readers of a busy fleet a whole core. Nothing is read ahead for a slow reader: it waits for itself alone. One that stopped
 * reading altogether would hold its socket for ever, and is cut off.
 */
export const sendLive = async (
  outgoing: ServerResponse,
  headers: Record<string, string>,
  chunks: AsyncIterable<Uint8Array>,
  stalled_ms = STALLED_MS,
): Promise<void> => {
  outgoing.writeHead(200, headers);
  try {
    for await (const chunk of chunks) {
      if (outgoing.destroyed) return;
      if (!outgoing.write(chunk)) await taken(outgoing, stalled_ms);
    }
    outgoing.end();
  } catch {
    outgoing.destroy(); // what began cannot turn into an error any more; the reader comes back
  }
};

/** Until the reader took what it was sent, or is gone. */
const taken = (outgoing: ServerResponse, stalled_ms: number): Promise<void> =>
  new Promise((resolve) => {
    const stalled = setTimeout(() => outgoing.destroy(), stalled_ms);
    const done = () => {
      clearTimeout(stalled);
      outgoing.off('drain', done).off('close', done);
      resolve();
    };
    outgoing.on('drain', done).on('close', done);
    if (outgoing.destroyed) done();
  });
