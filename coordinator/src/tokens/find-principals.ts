import type { Role } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';

/** `last_used_at` is worth one write a minute, not one a request. */
const TOUCH_MS = 60_000;

type Found = {
  key: string;
  kind: 'api_token' | 'agent';
  id: number;
  token_id: number;
  name: string;
  role: Role;
  workspace_id: number;
  stale: boolean;
};

/** Who the tokens of these digests (hex) are, in order; null for one that is unknown, revoked or expired. */
export const findPrincipals = async (deps: Deps, keys: string[]): Promise<(Principal | null)[]> => {
  const { sql } = deps.db;
  const digests = keys.map((key) => `\\x${key}`);
  const found = await sql<Found[]>`
    with at as materialized (select flotilla_now() as now, flotilla_now() - ${TOUCH_MS} * interval '1 ms' as a_while_ago)
    select encode(t.digest, 'hex') as key, 'api_token' as kind, t.id, t.id as token_id, t.name, t.role, t.workspace_id,
      coalesce(t.last_used_at < a_while_ago, true) as stale
    from at, api_tokens t where t.digest = any(${digests}::text[]::bytea[]) and t.revoked_at is null and (t.expires_at is null or t.expires_at > now)
    union all
    select encode(k.digest, 'hex'), 'agent', a.id, k.id, a.name, 'agent', a.workspace_id, coalesce(k.last_used_at < a_while_ago, true)
    from at, agent_tokens k join agents a on a.id = k.agent_id where k.digest = any(${digests}::text[]::bytea[]) and k.revoked_at is null`;
  await touch(
    deps,
    found.filter(({ stale }) => stale),
  );
  const principals = new Map(found.map((each) => [each.key, toPrincipal(each)]));
  return keys.map((key) => principals.get(key) ?? null);
};

const toPrincipal = ({ kind, id, name, role, workspace_id, token_id }: Found): Principal => ({
  kind,
  id,
  name,
  role,
  workspace_id,
  token_id,
});

/** Whoever touches one at the same moment says the same; nobody waits for it. */
const touch = async ({ db: { sql } }: Deps, found: Found[]): Promise<void> => {
  for (const kind of ['api_token', 'agent'] as const) {
    const ids = found.filter((each) => each.kind === kind).map(({ token_id }) => token_id);
    const table = sql(kind === 'agent' ? 'agent_tokens' : 'api_tokens');
    if (ids.length > 0)
      await sql`update ${table} set last_used_at = flotilla_now()
        where id in (select id from ${table} where id = any(${ids}::bigint[]) for no key update skip locked)`;
  }
};
