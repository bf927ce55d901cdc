import { AppError } from '@flotilla/shared';
import type { Hono } from 'hono';

import type { Deps } from '../deps.ts';
import type { Environment } from '../http/environment.ts';
import { openApiDocument } from '../http/openapi.ts';
import { readRoom } from '../operations/disk.ts';
import { readGauges } from '../operations/gauges.ts';

/** Postgres makes its log in files of this size, and stops when it cannot make the next one. */
const WAL_SEGMENT_BYTES = 16 * 1024 * 1024;

/** A full disk still answers what is read. */
const requireRoom = async ({ config }: Deps): Promise<void> => {
  const room = await readRoom(config);
  if (room !== null && room.bytes < WAL_SEGMENT_BYTES) throw new AppError('disk_full');
};

/** What operators and their tools read: liveness, readiness, metrics, the contract. Outside the contract itself. */
export const mountOperations = (app: Hono<Environment>, deps: Deps): void => {
  app.get('/healthz', (c) => c.json({ ok: true }));
  app.get('/readyz', async (c) => {
    await deps.db.sql`select 1`;
    await requireRoom(deps);
    return c.json({ ready: true });
  });
  app.get('/metrics', async (c) => {
    await readGauges(deps);
    return c.body(await deps.metrics.registry.metrics(), 200, { 'content-type': deps.metrics.registry.contentType });
  });
  const document = JSON.stringify(openApiDocument());
  for (const path of ['/api/v1/openapi.json', '/api/openapi.json'])
    app.get(path, (c) => c.body(document, 200, { 'content-type': 'application/json' }));
};
