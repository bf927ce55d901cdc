// What HTTP alone costs: Hono with a bearer check and JSON, state in memory, as fast as the same server can be.
// `read` also reads one row by its primary key. The routes under /api/v1 let the same load generator run against it.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import postgres from 'postgres';

import type { Facts } from '../facts.ts';

type Task = { id: number; epoch: number; title: string };

const parked = new Set<(task: Task | null) => void>();
const queued: Task[] = [];
const readers = new Set<(data: string) => void>();
let sql: postgres.Sql | null = null;
let last_id = 0;

const app = new Hono();
app.use(async (c, next) => {
  if (!c.req.header('authorization')?.startsWith('Bearer ')) return c.json({ error: 'unauthenticated' }, 401);
  return next();
});
app.post('/echo', async (c) => c.json(await c.req.json<object>()));
app.post('/read', async (c) => {
  const { id } = await c.req.json<{ id: number }>();
  const rows = sql === null ? [] : await sql`select agent_id, seq from raw_beats where agent_id = ${id}`;
  return c.json(rows[0] ?? null);
});
app.post('/api/v1/tasks', async (c) => {
  const { title } = await c.req.json<{ title: string }>();
  last_id += 1;
  const [first] = parked;
  const task = { id: last_id, epoch: 1, title };
  if (first === undefined) queued.push(task);
  else first(task);
  for (const tell of readers) tell(JSON.stringify({ seq: last_id, type: 'task.created', entity_id: last_id, at: 0 }));
  return c.json({ id: last_id }, 201);
});
app.post('/api/v1/tasks/claim', async (c) => {
  await c.req.json();
  const task = await new Promise<Task | null>((resolve) => {
    const waiting = queued.shift();
    if (waiting !== undefined) return resolve(waiting);
    const hold = (given: Task | null) => {
      parked.delete(hold);
      resolve(given);
    };
    parked.add(hold);
    c.req.raw.signal.addEventListener('abort', () => hold(null));
  });
  return c.json({ tasks: task === null ? [] : [task] });
});
app.post('/api/v1/tasks/:id/complete', async (c) => c.json(await c.req.json<object>()));
app.post('/api/v1/agents/:id/heartbeat', async (c) => c.json(await c.req.json<object>()));
app.get('/api/v1/events', (c) =>
  streamSSE(c, async (stream) => {
    await stream.writeSSE({ data: '{}' });
    const tell = (data: string) => void stream.writeSSE({ data });
    readers.add(tell);
    await new Promise<void>((resolve) => stream.onAbort(resolve));
    readers.delete(tell);
  }),
);

const server = createServer({ keepAliveTimeout: 75_000 }, getRequestListener(app.fetch));
process.once('message', ({ facts }: { facts: Facts | null }) => {
  if (facts !== null) sql = postgres({ ...facts, max: 20, onnotice: () => {} });
  server.listen(0, '127.0.0.1', () => {
    process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
});
process.once('disconnect', () => process.exit());
