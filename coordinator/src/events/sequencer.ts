import { createHash } from 'node:crypto';

import type { Database } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import { hintedLoop } from '../operations/background.ts';

/** One sequencer at a time over all coordinators, for the length of one transaction. */
const SEQUENCER_LOCK = 0x666c7371;
const BATCH = 1_000;
/**
 * Verbs raise a hint per commit; those of 5 ms are sequenced together, and under load those of 20 ms: a pass costs as much
 * as a batch of claims.
 */
const COLLECT_MS = { calm: 5, busy: 20 };
/** So many events in one pass are load. */
const BUSY = 16;

/**
 * Gives committed events their positions: no gaps, and for one entity in the order of its changes (its row lock ordered
 * their ids). Answers how many.
 */
const sequenceEvents = async (db: Database): Promise<number> => {
  const [row] = await db.sql<{ count: number }[]>`
    with fresh as (
      select id, row_number() over (order by id) as place from (select id from events where seq is null order by id limit ${BATCH}) e
    ), chain as (
      update sequencer set last_seq = last_seq + (select count(*) from fresh) where chain = 'events' returning last_seq
    ), placed as (
      update events set seq = chain.last_seq - (select count(*) from fresh) + fresh.place from fresh, chain where events.id = fresh.id returning 1
    )
    select count(*)::int as count from placed`;
  return row?.count ?? 0;
};

type Unsealed = {
  id: number;
  workspace_id: number;
  principal: string;
  action: string;
  entity: string;
  entity_id: number | null;
  details: unknown;
  created_at: string;
};

/** Seals audit rows in order: each hash covers the row and the hash before it, so that a changed or missing row shows. */
const sealAudit = async (db: Database): Promise<number> => {
  const rows = await db.sql<Unsealed[]>`
    select id, workspace_id, principal, action, entity, entity_id, details, created_at from audit_events where seq is null order by id limit ${BATCH}`;
  if (rows.length === 0) return 0;
  const [chain] = await db.sql<
    { last_seq: number; last_hash: Uint8Array | null }[]
  >`select last_seq, last_hash from sequencer where chain = 'audit'`;
  let hash = chain?.last_hash ?? new Uint8Array();
  let seq = chain?.last_seq ?? 0;
  const sealed = rows.map((row) => {
    seq += 1;
    hash = createHash('sha256')
      .update(hash)
      .update(
        JSON.stringify([
          seq,
          row.id,
          row.workspace_id,
          row.principal,
          row.action,
          row.entity,
          row.entity_id,
          row.details,
          row.created_at,
        ]),
      )
      .digest();
    return { id: row.id, seq, hash: Buffer.from(hash) };
  });
  await db.sql`
    update audit_events a set seq = s.seq, hash = decode(s.hash, 'hex')
    from unnest(${sealed.map((s) => s.id)}::bigint[], ${sealed.map((s) => s.seq)}::bigint[], ${sealed.map((s) => s.hash.toString('hex'))}::text[]) as s (id, seq, hash)
    where a.id = s.id`;
  await db.sql`update sequencer set last_seq = ${seq}, last_hash = ${Buffer.from(hash)} where chain = 'audit'`;
  return rows.length;
};

/** One pass of the sequencer. False when another coordinator holds it: that one does the work. */
export const sequence = (deps: Deps): Promise<number> =>
  deps.db.transaction(async (db) => {
    const [lock] = await db.sql<{ held: boolean }[]>`select pg_try_advisory_xact_lock(${SEQUENCER_LOCK}) as held`;
    if (lock?.held !== true) return 0;
    const placed = await sequenceEvents(db);
    const sealed = await sealAudit(db);
    if (placed > 0) db.afterCommit(() => deps.hub.raise('events'));
    return Math.max(placed, sealed);
  });

/** Sequences on a hint, soon (under load a little later), or every second, whatever was missed. */
export const sequencerLoop = (deps: Deps, signal: AbortSignal): Promise<void> => {
  let handled = 0;
  const work = async () => {
    do handled = await sequence(deps);
    while (handled >= BATCH);
  };
  const collect_ms = () => (handled < BUSY ? COLLECT_MS.calm : COLLECT_MS.busy);
  return hintedLoop(deps, { name: 'sequencer', hint: 'unsequenced', look_ms: 1_000, collect_ms }, work, signal);
};
