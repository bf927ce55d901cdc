import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { readAttemptToken } from './attempt-token.ts';
import { digestKey } from './secret.ts';

/** Who a token is, or null. Tokens are found by digest; the attempt's own by signature and live epoch. */
export const authenticate = async (deps: Deps, token: string): Promise<Principal | null> => {
  if (token.startsWith('flt_')) return authenticateAttempt(deps, token);
  const key = digestKey(token);
  const believed = deps.believed.find(key);
  if (believed !== null) return believed;
  const drops = deps.believed.drops();
  const principal = await deps.batches.tokens(deps, key);
  deps.believed.keep(key, principal, drops);
  return principal;
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
