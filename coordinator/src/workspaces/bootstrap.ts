import { randomBytes } from 'node:crypto';

import type { Database } from '../db/database.ts';
import { digestSecret, makeSecret } from '../tokens/secret.ts';

/**
 * The first workspace and its admin token. A given token replaces the digest it had before, so that changing
 * FLOTILLA_ADMIN_TOKEN is how it is rotated; without one it is made at the first start only. Answers the plaintext when
 * it was made just now: it must be shown, nobody can read it again.
 */
export const ensureFirstWorkspace = (database: Database, admin_token: string | undefined): Promise<string | null> =>
  database.transaction(async ({ sql }) => {
    // Serialises coordinators that start together on an empty database.
    await sql`lock table workspaces in share row exclusive mode`;
    const [existing] = await sql`select 1 from workspaces limit 1`;
    if (existing === undefined) await sql`insert into workspaces (slug, name) values ('default', 'Default')`;
    const [known] =
      await sql`select 1 from api_tokens where workspace_id = 1 and role = 'admin' and revoked_at is null`;
    const made = admin_token === undefined && known === undefined ? makeSecret('flu_') : null;
    const token = admin_token ?? made;
    if (token === null) return null;
    const digest = digestSecret(token);
    // A digest that was revoked stays revoked: a leaked token must not come back with the next restart.
    const [used] = await sql`select 1 from api_tokens where digest = ${digest}`;
    if (used !== undefined) return null;
    await sql`
      insert into api_tokens (workspace_id, name, role, digest, created_by) values (1, 'admin', 'admin', ${digest}, 'environment')
      on conflict (workspace_id, name) where revoked_at is null do update set digest = excluded.digest`;
    return made;
  });

/** The HMAC key of attempt tokens: made once, the same for all coordinators of a database. */
export const loadAttemptKey = async ({ sql }: Database): Promise<Uint8Array> => {
  await sql`insert into settings (key, value) values ('attempt_key', to_jsonb(${randomBytes(32).toString('base64')}::text)) on conflict do nothing`;
  const [row] = await sql<{ value: string }[]>`select value #>> '{}' as value from settings where key = 'attempt_key'`;
  if (row === undefined) throw new Error('settings.attempt_key is missing');
  return Buffer.from(row.value, 'base64');
};
