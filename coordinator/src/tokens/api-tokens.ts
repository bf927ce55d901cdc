import { type api, type ApiToken, AppError, type RouteInput, type RouteOutput } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Sql } from '../db/client.ts';
import { decodeCursor, pageOf } from '../db/page.ts';
import type { Deps } from '../deps.ts';
import { type Principal, principalLabel } from '../principal.ts';
import { digestSecret, makeSecret } from './secret.ts';

const columns = (sql: Sql) => sql`id, name, role, expires_at, last_used_at, revoked_at, created_by, created_at`;

/** Makes a user token; only its digest is stored, the plaintext is in this answer and nowhere else. */
export const createApiToken = (
  deps: Deps,
  principal: Principal,
  { body }: RouteInput<typeof api.api_tokens.create>,
): Promise<RouteOutput<typeof api.api_tokens.create>> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    const token = makeSecret('flu_');
    const [row] = await sql<ApiToken[]>`
      insert into api_tokens (workspace_id, name, role, digest, expires_at, created_by)
      values (${principal.workspace_id}, ${body.name}, ${body.role}, ${digestSecret(token)},
        flotilla_now() + ${body.expires_in_s ?? null}::bigint * interval '1 s', ${principalLabel(principal)})
      on conflict do nothing returning ${columns(sql)}`;
    if (row === undefined)
      throw new AppError('name_taken', {
        sentence: `name: a token called ${body.name} exists`,
        hint: 'choose another name, or revoke that one',
      });
    await recordAudit(db, principal, {
      action: 'api_token.create',
      entity: 'api_token',
      entity_id: row.id,
      details: { name: body.name, role: body.role },
    });
    return { ...row, token };
  });

export const listApiTokens = async (
  deps: Deps,
  principal: Principal,
  { query }: RouteInput<typeof api.api_tokens.list>,
): Promise<RouteOutput<typeof api.api_tokens.list>> => {
  const { sql } = deps.db;
  const rows = await sql<ApiToken[]>`
    select ${columns(sql)} from api_tokens where workspace_id = ${principal.workspace_id} and id < ${decodeCursor(query.cursor)}
    order by id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  return { api_tokens: items, next_cursor };
};

export const revokeApiToken = (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.api_tokens.revoke>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const rows = await db.sql`
      update api_tokens set revoked_at = coalesce(revoked_at, flotilla_now())
      where id = ${params.id} and workspace_id = ${principal.workspace_id} returning id`;
    if (rows.length === 0) throw new AppError('not_found', { sentence: `There is no API token ${params.id}.` });
    await recordAudit(db, principal, { action: 'api_token.revoke', entity: 'api_token', entity_id: params.id });
    db.afterCommit(() => deps.believed.forget());
    return null;
  });
