import { z } from 'zod';

import { commaList, Id, Timestamp } from './common.ts';
import { route } from './route.ts';

/** One committed change, without free text or secrets. `seq` has no gaps and is causal per entity. */
export const Event = z.object({
  seq: Id,
  type: z.string(),
  entity_id: Id,
  version: z.int(),
  workspace_id: Id,
  summary: z.record(z.string(), z.unknown()),
  at: Timestamp,
});
export type Event = z.infer<typeof Event>;

export const eventRoutes = {
  stream: route({
    method: 'GET',
    path: '/events',
    tag: 'events',
    summary: 'Follow changes as server-sent events',
    description:
      'The SSE id is `seq`; `Last-Event-ID` (or ?last_event_id=) replays what came after it. `types=task` means `task.*`. An id-only frame every 15 s advances filtered cursors; `stream.reset` says that the cursor is outside the retention.',
    permission: 'events:read',
    audience: 'person',
    query: z.object({
      types: commaList(z.string().regex(/^[a-z_]+(\.[a-z_]+)?$/, 'use names like task or task.created')).optional(),
      last_event_id: z.coerce.number().pipe(z.int().min(0)).optional(),
    }),
    status: 200,
    output: 'event-stream',
    errors: [],
  }),
};
