import type { Role } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { readAttemptToken } from './attempt-token.ts';
import { digestKey, digestSecret } from './secret.ts';

/** How long a token may be believed without asking the database: other coordinators see a revocation this late. */
const BELIEVE_MS = 5_000;
const MAX_CACHED = 20_000;
/** `last_used_at` is worth one write a minute, not one a request. */
const TOUCH_MS = 60_000;

type Found = {
  kind: 'api_token' | 'agent';
  id: number;
  token_id: number;
  name: string;
  role: string;
  workspace_id: number;
  stale: boolean;
};

/** Which tokens this coordinator believes without asking again, by digest. */
export type Believed = {
  find(key: string): Principal | null;
  keep(key: string, principal: Principal): void;
  drop(key: string): void;
  /** Drops them all: something was revoked, disabled or deleted. */
  forget(): void;
};

export const createBelieved = (): Believed => {
  const cache = new Map<string, { principal: Principal; until: number }>();
  return {
    find: (key) => {
      const found = cache.get(key);
      return found !== undefined && found.until > performance.now() ? found.principal : null;
    },
    keep: (key, principal) => {
      if (cache.size >= MAX_CACHED) cache.clear();
      cache.set(key, { principal, until: performance.now() + BELIEVE_MS });
    },
    drop: (key) => void cache.delete(key),
    forget: () => cache.clear(),
  };
};

/** Who a token is, or null. Tokens are found by digest; the attempt's own by signature and live epoch. */
export const authenticate = async (deps: Deps, token: string): Promise<Principal | null> => {
  if (token.startsWith('flt_')) return authenticateAttempt(deps, token);
  const key = digestKey(token);
  const believed = deps.believed.find(key);
  if (believed !== null) return believed;
  const digest = digestSecret(token);
  const found = await findToken(deps, digest);
  if (found === null) {
    deps.believed.drop(key);
    return null;
  }
  const role: Role = found.kind === 'agent' ? 'agent' : (found.role as Role); // the column holds what the contract allows
  const principal: Principal = {
    kind: found.kind,
    id: found.id,
    name: found.name,
    role,
    workspace_id: found.workspace_id,
    token_id: found.token_id,
  };
  if (found.stale) await touch(deps, found);
  deps.believed.keep(key, principal);
  return principal;
};

const findToken = async (deps: Deps, digest: Uint8Array): Promise<Found | null> => {
  const [found] = await deps.db.sql<Found[]>`
    select 'api_token' as kind, id, id as token_id, name, role, workspace_id,
      coalesce(last_used_at < flotilla_now() - ${TOUCH_MS} * interval '1 ms', true) as stale
    from api_tokens where digest = ${digest} and revoked_at is null and (expires_at is null or expires_at > flotilla_now())
    union all
    select 'agent', a.id, k.id, a.name, a.role, a.workspace_id, coalesce(k.last_used_at < flotilla_now() - ${TOUCH_MS} * interval '1 ms', true)
    from agent_tokens k join agents a on a.id = k.agent_id
    where k.digest = ${digest} and k.revoked_at is null`;
  return found ?? null;
};

const touch = async (deps: Deps, found: Found): Promise<void> => {
  const { sql } = deps.db;
  if (found.kind === 'agent')
    await sql`update agent_tokens set last_used_at = flotilla_now() where id = ${found.token_id}`;
  else await sql`update api_tokens set last_used_at = flotilla_now() where id = ${found.token_id}`;
};

const authenticateAttempt = async (deps: Deps, token: string): Promise<Principal | null> => {
  const claimed = readAttemptToken(deps.attempt_key, token);
  if (claimed === null) return null;
  const [attempt] = await deps.db.sql<{ id: number; workspace_id: number; polled: boolean }[]>`
    select a.id, a.workspace_id, l.call_lease_ms is not null as polled from attempts a join leases l on l.attempt_id = a.id
    where a.epoch = ${claimed.epoch} and a.task_id = ${claimed.task_id}`;
  if (attempt === undefined) return null;
  const { id, workspace_id } = attempt;
  return {
    kind: 'attempt',
    id,
    name: `TASK-${claimed.task_id}`,
    role: attempt.polled ? 'polled_attempt' : 'attempt',
    workspace_id,
    task_id: claimed.task_id,
  };
};

/** How often a stream asks whether its reader may still read. */
const RECHECK_MS = 5_000;

/**
 * For streams that outlive the check at their beginning: says, at most every few seconds by a query, whether the
 * principal's token still opens anything.
 */
export const watchRights = (deps: Deps, principal: Principal): (() => Promise<boolean>) => {
  let checked_at = performance.now();
  return async () => {
    if (performance.now() - checked_at < RECHECK_MS) return true;
    checked_at = performance.now();
    const { sql } = deps.db;
    const { kind, id, token_id = 0 } = principal;
    if (kind === 'attempt') return (await sql`select 1 from leases where attempt_id = ${id}`).length > 0;
    const rows =
      kind === 'agent'
        ? await sql`select 1 from agent_tokens k join agents a on a.id = k.agent_id
            where k.id = ${token_id} and k.revoked_at is null and a.deleted_at is null`
        : await sql`select 1 from api_tokens
            where id = ${token_id} and revoked_at is null and (expires_at is null or expires_at > flotilla_now())`;
    return rows.length > 0;
  };
};
