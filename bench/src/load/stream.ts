import type { Socket } from 'node:net';

import { type Caller, create } from './ask.ts';
import { openConnections, openSocket } from './connection.ts';
import { type Measured, summarize } from './measure.ts';

/** From the start of a POST of a task until each of many readers of the event stream has its event. */
export type StreamJob = { url: string; person: Caller; readers: number; events_per_s: number; ms: number };

/** What has not arrived by then counts as this late. */
const LATE_MS = 10_000;
const CREATED = '"type":"task.created","entity_id":';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Calls `seen` for each created task that the stream tells of, whole frames only. */
const read = async (url: URL, token: string, seen: (task_id: number) => void): Promise<Socket> => {
  const socket = await openSocket(url);
  let rest = '';
  const opened = new Promise<void>((resolve) => socket.once('data', () => resolve()));
  socket.on('data', (chunk: Buffer) => {
    rest += chunk.toString('latin1');
    let from = 0;
    for (let at = rest.indexOf(CREATED); at !== -1; at = rest.indexOf(CREATED, from)) {
      const start = at + CREATED.length;
      const end = rest.indexOf(',', start);
      if (end === -1) break;
      seen(Number(rest.slice(start, end)));
      from = end;
    }
    // What may be the beginning of the next one stays.
    rest = rest.slice(Math.max(from, rest.length - 300));
  });
  socket.on('error', () => {}); // its events go missing, which the figure shows
  socket.write(
    `GET /api/v1/events?types=task.created HTTP/1.1\r\nhost: ${url.host}\r\nauthorization: Bearer ${token}\r\n\r\n`,
  );
  await opened;
  return socket;
};

export const runStream = async ({ url, person, readers, events_per_s, ms }: StreamJob): Promise<Measured> => {
  const address = new URL(url);
  const posted = new Map<number, number>();
  const seen = new Map<number, number[]>();
  const note = (task_id: number) => {
    const times = seen.get(task_id);
    if (times === undefined) seen.set(task_id, [performance.now()]);
    else times.push(performance.now());
  };
  const sockets: Socket[] = [];
  const posting = await openConnections(address, 32);
  try {
    for (let n = 0; n < readers; n++) sockets.push(await read(address, person.token, note));
    const began = performance.now();
    // Each of the lanes has its turn; a server that falls behind is asked less often, which its latency shows.
    const lanes = posting.map(async (connection, lane) => {
      for (let turn = lane; (turn * 1000) / events_per_s < ms; turn += posting.length) {
        await sleep(began + (turn * 1000) / events_per_s - performance.now());
        const from = performance.now();
        const { id } = await create(connection, person.token, 'bench');
        posted.set(id, from);
      }
    });
    await Promise.all(lanes);
    const end = performance.now() + LATE_MS;
    const all = () => [...posted.keys()].every((id) => seen.get(id)?.length === readers);
    while (!all() && performance.now() < end) await sleep(50);
    const latencies = [...posted].flatMap(([id, from]) => {
      const times = seen.get(id) ?? [];
      return Array.from({ length: readers }, (_, reader) => (times[reader] ?? from + LATE_MS) - from);
    });
    return summarize(latencies.length, (performance.now() - began) / 1000, latencies);
  } finally {
    for (const socket of sockets) socket.destroy();
    for (const connection of posting) connection.close();
  }
};
