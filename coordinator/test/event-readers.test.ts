import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, onTestFinished, test } from 'vitest';

import { sequencerLoop } from '../src/events/sequencer.ts';
import { sendLive } from '../src/http/live.ts';
import { makeDeps, testApp } from './lib/app.ts';
import { openEvents } from './lib/sse.ts';
import { during, until } from './lib/until.ts';

const app = await testApp();

test('1 000 readers: each sees every event once and in order, for a few queries', async () => {
  const workspace = await app.workspace();
  await app.sequence();
  const readers = await Promise.all(Array.from({ length: 1_000 }, () => openEvents(app, workspace.token)));
  let queries = 0;
  const reads = app.deps.event_reads;
  const stretch: typeof reads.stretch = {
    ...reads.stretch,
    get: (key, read) => {
      const counted = () => {
        queries += 1;
        return read();
      };
      return reads.stretch.get(key, counted);
    },
  };
  app.deps.event_reads = { ...reads, stretch };
  const tasks = await workspace.tasks(20);
  await app.sequence();
  await until('all have all', () => readers.every((reader) => reader.events().length >= 20), 30_000);
  app.deps.event_reads = reads;
  const expected = tasks.map(({ id }) => id);
  for (const reader of readers) expect(reader.events().map(({ entity_id }) => entity_id)).toEqual(expected);
  // One of its own for each reader and each look would be thousands.
  expect(queries).toBeLessThan(100);
  await Promise.all(readers.map((reader) => reader.close()));
}, 90_000);

test('a reader that reconnects 1 000 times sees every event once', async () => {
  const workspace = await app.workspace();
  const start = await openEvents(app, workspace.token);
  let last = start.frames[0]?.id ?? 0;
  await start.close();
  const seen: number[] = [];
  const stop = new AbortController();
  const changes = (async () => {
    const made: number[] = [];
    while (!stop.signal.aborted) {
      made.push((await workspace.task()).id);
      await pause(2);
    }
    return made;
  })();
  await during(
    (signal) => sequencerLoop(app.deps, signal),
    async () => {
      for (let connection = 0; connection < 1_000; connection++) {
        const reader = await openEvents(app, workspace.token, '?types=task.created', { 'last-event-id': String(last) });
        if (connection % 10 === 0) await pause(3);
        await reader.close();
        for (const { seq, entity_id } of reader.events()) {
          expect(seq).toBeGreaterThan(last);
          seen.push(entity_id);
        }
        last = reader.frames.at(-1)?.id ?? last;
      }
      stop.abort();
      const made = await changes;
      const rest = await openEvents(app, workspace.token, '?types=task.created', { 'last-event-id': String(last) });
      await until('the rest', () => seen.length + rest.events().length >= made.length);
      await rest.close();
      expect([...seen, ...rest.events().map(({ entity_id }) => entity_id)]).toEqual(made);
      expect(made.length).toBeGreaterThan(100);
    },
  );
}, 90_000);

test('events of another coordinator arrive by its hint or the next look; the filter by permission holds', async () => {
  const workspace = await app.workspace();
  const other = await makeDeps(app.sql, {});
  const { token = '' } = await workspace.admin.api_tokens.create({ body: { name: 'looks', role: 'viewer' } });
  const [viewer, admin] = [await openEvents(app, token), await openEvents(app, workspace.token)];
  await app.sql`
    insert into event_batches (count, events) values (2, json_build_array(
      json_build_object('workspace_id', ${workspace.id}::bigint, 'type', 'audit.sealed', 'entity_id', 1, 'version', 1, 'permission', 'audit:read', 'summary', '{}'::json),
      json_build_object('workspace_id', ${workspace.id}::bigint, 'type', 'task.updated', 'entity_id', 1, 'version', 1, 'permission', 'events:read', 'summary', '{}'::json)))`;
  await during(
    (signal) => sequencerLoop(other, signal),
    async () => {
      await until('both have theirs', () => viewer.events().length === 1 && admin.events().length === 2, 5_000);
    },
  );
  expect(viewer.types()).toEqual(['task.updated']);
  expect(admin.types()).toEqual(['audit.sealed', 'task.updated']);
  await Promise.all([viewer.close(), admin.close()]);
});

test('a reader that takes nothing is cut off and its source ends; one that reads slowly is not, nor one that leaves', async () => {
  let ended = 0;
  async function* endless() {
    try {
      for (;;) yield new Uint8Array(100_000);
    } finally {
      ended += 1;
    }
  }
  const server = createServer((_request, response) => void sendLive(response, {}, endless(), 1_000)).listen(0);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server has one
  const open = async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {}); // that it is cut off
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(socket, 'readable');
    return socket;
  };
  const stuck = await open();
  const slow = await open();
  const reading = setInterval(() => slow.read(), 2);
  onTestFinished(() => clearInterval(reading));
  await until('the stuck one is ended', () => ended === 1);
  stuck.resume();
  await until('its socket is closed', () => stuck.closed);
  await pause(1_500);
  expect({ ended, closed: slow.closed }).toEqual({ ended: 1, closed: false });
  slow.destroy();
  await until('the one that left is ended', () => ended === 2);
});
