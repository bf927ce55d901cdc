import type { Sql } from '../../db/client.ts';
import { type Candidate, claimOrder } from './allocate.ts';

/** 'keyl' as a number: the first half of the advisory lock's key. */
const KEY_LOCK = 0x6b65796c;

type Busy = { workspace_id: number; concurrency_key: string; running: number };

const nameOf = (of: { workspace_id: number; concurrency_key: string | null }) =>
  `${of.workspace_id}/${of.concurrency_key}`;

/**
 * Of locked heads those that may run now: without a key, or with a free one. Of two transactions that claim tasks of one
 * key the second does not wait (it could wait in a circle): it leaves them to its next look. What is over the limit is
 * taken out of the queue (`key_blocked`), so that it does not stand before the others; `freeKeys` puts it back.
 *
 * The count comes after the lock, in a statement of its own: whoever held it before has committed, and is seen.
 */
export const admitKeys = async (sql: Sql, heads: Candidate[]): Promise<{ open: Candidate[]; parked: number }> => {
  const keyed = heads.filter(({ concurrency_key }) => concurrency_key !== null);
  const keys = [...new Map(keyed.map((head) => [nameOf(head), head])).values()];
  const names = keys.map(nameOf);
  const held = await sql<{ name: string; mine: boolean }[]>`
    select name, pg_try_advisory_xact_lock(${KEY_LOCK}, hashtext(name)) as mine from unnest(${names}::text[]) as name`;
  const mine = new Set(held.filter((lock) => lock.mine).map((lock) => lock.name));
  const running = await sql<Busy[]>`
    select workspace_id, concurrency_key, count(*)::int as running from leases
    where (workspace_id, concurrency_key) in (
      select * from unnest(${keys.map(({ workspace_id }) => workspace_id)}::bigint[], ${keys.map(({ concurrency_key }) => concurrency_key)}::text[]))
    group by workspace_id, concurrency_key`;
  const used = new Map(running.map((key) => [nameOf(key), key.running]));
  const open = new Set(heads.filter(({ concurrency_key }) => concurrency_key === null));
  const blocked: number[] = [];
  for (const head of keyed.toSorted(claimOrder)) {
    const name = nameOf(head);
    if (!mine.has(name)) continue;
    const taken = used.get(name) ?? 0;
    if (taken >= head.concurrency_limit) blocked.push(head.id);
    else {
      used.set(name, taken + 1);
      open.add(head);
    }
  }
  if (blocked.length > 0) {
    await sql`
      update tasks set key_blocked = true, deferred_until = flotilla_now() + interval '1 hour' where id = any(${blocked}::bigint[])`;
  }
  return { open: heads.filter((head) => open.has(head)), parked: blocked.length };
};
