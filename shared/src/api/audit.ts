import { z } from 'zod';

import { Id, NextCursor, PageQuery, Timestamp } from './common.ts';
import { route } from './route.ts';

/** Who changed what. Sealed rows carry their place in a hash chain; `seq` is null until sealed (≤1 s). */
export const AuditEvent = z.object({
  id: Id,
  seq: Id.nullable(),
  principal: z.string(),
  action: z.string(),
  entity: z.string(),
  entity_id: Id.nullable(),
  details: z.record(z.string(), z.unknown()),
  request_id: z.string().nullable(),
  at: Timestamp,
  hash: z.string().nullable(),
});
export type AuditEvent = z.infer<typeof AuditEvent>;

export const auditRoutes = {
  list: route({
    method: 'GET',
    path: '/audit',
    tag: 'audit',
    summary: 'List audit events, newest first',
    permission: 'audit:read',
    audience: 'person',
    query: PageQuery,
    status: 200,
    output: z.object({ audit: z.array(AuditEvent), next_cursor: NextCursor }),
    errors: [],
  }),
};
