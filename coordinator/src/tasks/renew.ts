import type { Sql } from '../db/client.ts';
import type { Held } from './attempt-row.ts';

/**
 * A call that names a task and its epoch keeps a polled attempt alive; leases that beats renew are left alone. Locks the
 * lease row, as expiry does: whoever comes first wins. Served by leases_pkey.
 */
export const renewByCall = async (sql: Sql, claims: { task_id: number; epoch: number }[]): Promise<void> => {
  if (claims.length === 0) return;
  await sql`
    update leases l set held_until = null,
      expires_at = greatest(expires_at, least(flotilla_now() + call_lease_ms * interval '1 ms', renewable_until))
    from unnest(${claims.map(({ task_id }) => task_id)}::bigint[], ${claims.map(({ epoch }) => epoch)}::bigint[]) as c (task_id, epoch)
    where l.task_id = c.task_id and l.epoch = c.epoch and call_lease_ms is not null`;
};

/** The same for who locked them. */
export const renewHeld = (sql: Sql, held: Held[]): Promise<void> =>
  renewByCall(
    sql,
    held.filter(({ polled }) => polled).map(({ attempt }) => attempt),
  );
