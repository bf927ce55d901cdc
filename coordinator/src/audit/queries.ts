import type { api, AuditEvent, RouteInput, RouteOutput } from '@flotilla/shared';

import { decodeCursor, pageOf } from '../db/page.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';

/** A page of the audit, newest first. */
export const listAudit = async (
  deps: Deps,
  principal: Principal,
  { query }: RouteInput<typeof api.audit.list>,
): Promise<RouteOutput<typeof api.audit.list>> => {
  const rows = await deps.db.sql<AuditEvent[]>`
    select id, seq, principal, action, entity, entity_id, details, request_id, created_at as at, encode(hash, 'hex') as hash
    from audit_events where workspace_id = ${principal.workspace_id} and id < ${decodeCursor(query.cursor)} order by id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  return { audit: items, next_cursor };
};
