import { type api, AppError, type JoinToken, type RouteInput, type RouteOutput } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Sql } from '../db/client.ts';
import { decodeCursor, pageOf } from '../db/page.ts';
import type { Deps } from '../deps.ts';
import { type Principal, principalLabel } from '../principal.ts';
import { digestSecret, makeSecret } from './secret.ts';

const columns = (sql: Sql) => sql`
  id, tags, role, coalesce(slots, 1) as slots, name_pattern, expires_at, used_at, used_by_agent_id, revoked_at, created_by, created_at`;

/** Makes a one-time token; only its digest is stored, the plaintext is in this answer and nowhere else. */
export const createJoinToken = (
  deps: Deps,
  principal: Principal,
  { body }: RouteInput<typeof api.join_tokens.create>,
): Promise<RouteOutput<typeof api.join_tokens.create>> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    const token = makeSecret('flj_');
    const [row] = await sql<JoinToken[]>`
      insert into join_tokens (workspace_id, digest, tags, role, slots, name_pattern, expires_at, created_by)
      values (${principal.workspace_id}, ${digestSecret(token)}, ${body.tags}::text[], ${body.role}, ${body.slots ?? null}, ${body.name_pattern ?? null},
        flotilla_now() + ${body.expires_in_s} * interval '1 s', ${principalLabel(principal)})
      returning ${columns(sql)}`;
    if (row === undefined) throw new Error('insert returned no row');
    const { tags, role, slots, name_pattern } = row;
    await recordAudit(db, principal, {
      action: 'join_token.create',
      entity: 'join_token',
      entity_id: row.id,
      details: { tags, role, slots, name_pattern },
    });
    return { ...row, token };
  });

export const listJoinTokens = async (
  deps: Deps,
  principal: Principal,
  { query }: RouteInput<typeof api.join_tokens.list>,
): Promise<RouteOutput<typeof api.join_tokens.list>> => {
  const { sql } = deps.db;
  const rows = await sql<JoinToken[]>`
    select ${columns(sql)} from join_tokens where workspace_id = ${principal.workspace_id} and id < ${decodeCursor(query.cursor)}
    order by id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  return { join_tokens: items, next_cursor };
};

export const revokeJoinToken = (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.join_tokens.revoke>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const rows = await db.sql`
      update join_tokens set revoked_at = coalesce(revoked_at, flotilla_now())
      where id = ${params.id} and workspace_id = ${principal.workspace_id} returning id`;
    if (rows.length === 0) throw new AppError('not_found', { sentence: `There is no join token ${params.id}.` });
    await recordAudit(db, principal, { action: 'join_token.revoke', entity: 'join_token', entity_id: params.id });
    return null;
  });
