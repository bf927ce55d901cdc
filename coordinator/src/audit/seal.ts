import { createHash } from 'node:crypto';

import type { Deps } from '../deps.ts';
import { hintedLoop } from '../operations/background.ts';

/** 'seal' as a number: one sealer at a time over all coordinators, for the length of one transaction. */
const SEAL_LOCK = 0x7365616c;
const BATCH = 1_000;
/** A row is sealed within a second; the acts of half a second are sealed together. */
const COLLECT_MS = 500;

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

const chainedHash = (before: Uint8Array, seq: number, row: Unsealed): Buffer =>
  createHash('sha256')
    .update(before)
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

/**
 * Seals audit rows in order: each hash covers the row and the hash before it, so that a changed or missing row shows.
 * Answers how many; none when another coordinator is at it.
 */
export const sealAudit = (deps: Deps): Promise<number> =>
  deps.db.transaction(async ({ sql }) => {
    const [lock] = await sql<{ held: boolean }[]>`select pg_try_advisory_xact_lock(${SEAL_LOCK}) as held`;
    if (lock?.held !== true) return 0;
    const rows = await sql<Unsealed[]>`
      select id, workspace_id, principal, action, entity, entity_id, details, created_at from audit_events where seq is null order by id limit ${BATCH}`;
    if (rows.length === 0) return 0;
    const [chain] = await sql<
      { last_seq: number; last_hash: Uint8Array | null }[]
    >`select last_seq, last_hash from sequencer where chain = 'audit'`;
    let hash = chain?.last_hash ?? new Uint8Array();
    let seq = chain?.last_seq ?? 0;
    const sealed = rows.map((row) => {
      seq += 1;
      hash = chainedHash(hash, seq, row);
      return { id: row.id, seq, hash: Buffer.from(hash) };
    });
    await sql`
      update audit_events a set seq = s.seq, hash = decode(s.hash, 'hex')
      from unnest(${sealed.map((s) => s.id)}::bigint[], ${sealed.map((s) => s.seq)}::bigint[], ${sealed.map((s) => s.hash.toString('hex'))}::text[]) as s (id, seq, hash)
      where a.id = s.id and a.id = any(${sealed.map((s) => s.id)}::bigint[])`; // or an old plan may read all rows there are
    await sql`update sequencer set last_seq = ${seq}, last_hash = ${Buffer.from(hash)} where chain = 'audit'`;
    return rows.length;
  });

/** Seals some time after a hint, or every second, whatever was missed. */
export const sealLoop = (deps: Deps, signal: AbortSignal): Promise<void> => {
  const work = async () => {
    while ((await sealAudit(deps)) === BATCH);
  };
  const timing = { look_ms: 1_000, collect_ms: () => COLLECT_MS };
  return hintedLoop(deps, { name: 'seal', hint: 'unsequenced', ...timing }, work, signal);
};
