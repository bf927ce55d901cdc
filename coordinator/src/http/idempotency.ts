import { createHash } from 'node:crypto';

import { AppError, type Route } from '@flotilla/shared';

import type { Database } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import { type Principal, principalLabel } from '../principal.ts';

type Stored = { route: string; body_digest: Uint8Array; response: unknown };

/**
 * Runs a creation once per (principal, Idempotency-Key): the key and the created row commit together, so that a retry
 * after a lost answer finds both or neither. A replay answers without the secrets of the first answer; the same key with
 * another body is refused. A concurrent use waits for the first one's commit.
 */
export const runOnce = (
  deps: Deps,
  principal: Principal,
  request: { key: string; route: Route; body: unknown },
  create: (deps: Deps) => Promise<unknown>,
): Promise<unknown> => {
  if (!/^[\x21-\x7e]{1,200}$/.test(request.key)) {
    throw new AppError('invalid_input', {
      sentence: 'Idempotency-Key: use 1–200 printable ASCII characters without spaces',
    });
  }
  const route = `${request.route.method} ${request.route.path}`;
  const digest = createHash('sha256')
    .update(JSON.stringify(request.body ?? null))
    .digest();
  return deps.db.transaction(async (db) => {
    const owner = [principal.workspace_id, principalLabel(principal), request.key] as const;
    const [reserved] = await db.sql`
      insert into idempotency_keys (workspace_id, principal, key, route, body_digest) values (${owner[0]}, ${owner[1]}, ${owner[2]}, ${route}, ${digest})
      on conflict do nothing returning 1`;
    if (reserved === undefined) return replay(await findKey(db, owner), { route, digest });
    const response = await create({ ...deps, db });
    await db.sql`
      update idempotency_keys set response = ${JSON.stringify(withoutSecrets(request.route, response))}::text::jsonb
      where workspace_id = ${owner[0]} and principal = ${owner[1]} and key = ${owner[2]}`;
    return response;
  });
};

/** On the connection of the caller's transaction: asking for a second one while holding one deadlocks a busy pool. */
const findKey = async (
  db: Database,
  [workspace_id, principal, key]: readonly [number, string, string],
): Promise<Stored | null> => {
  const [row] = await db.sql<Stored[]>`
    select route, body_digest, response from idempotency_keys where workspace_id = ${workspace_id} and principal = ${principal} and key = ${key}`;
  return row ?? null;
};

const replay = (stored: Stored | null, asked: { route: string; digest: Uint8Array }): unknown => {
  if (stored === null)
    throw new AppError('unavailable', {
      sentence: 'The first request with this Idempotency-Key was rolled back; try again.',
    });
  if (stored.route !== asked.route || Buffer.compare(stored.body_digest, asked.digest) !== 0) {
    throw new AppError('idempotency_mismatch', { hint: 'use a new key for a new request' });
  }
  return stored.response;
};

const withoutSecrets = (route: Route, response: unknown): unknown =>
  typeof response === 'object' && response !== null
    ? Object.fromEntries(Object.entries(response).filter(([key]) => !(route.once_only ?? []).includes(key)))
    : response;
