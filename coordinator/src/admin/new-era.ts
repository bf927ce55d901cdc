import type { Sql } from '../db/client.ts';
import type { Header } from './format.ts';

/** What was given out after the backup is unknown, but never as much as this. */
const ERA = 2 ** 32;
/** The gap guard then waits as long as it may: every lease in the backup is from before the agents' last renewals. */
const SILENCE_MINUTES = 10;

export type Era = { epoch_before: number; epoch_after: number };

/**
 * Separates the restored history from the one it replaces, of which agents and readers still hold numbers.
 *
 * - Epochs go on 2³² higher, so that no new claim ever gets the epoch of an attempt that the backup does not know:
 *   such an attempt is lost, one that the backup knows lives on. A part by chance, because the same backup may be
 *   restored twice, and the attempts of the first time are as unknown to the second.
 * - Events move up alike: a reader's old position is then older than all of them, and it gets its `stream.reset`.
 * - The last sign of life lies far back, so that the next coordinator suspends expiry while agents find back.
 */
export const openNewEra = async (
  sql: Sql,
  { header, used_epoch, by, random }: { header: Header; used_epoch: number; by: string; random: () => number },
): Promise<Era> => {
  const shift = ERA + Math.floor(random() * (ERA / 2));
  const [highest] = await sql<{ epoch: number }[]>`
    select greatest((select last_value from epochs), (select max(epoch) from attempts), (select max(epoch) from tasks), ${used_epoch}::bigint) as epoch`;
  const era = { epoch_before: highest?.epoch ?? 0, epoch_after: (highest?.epoch ?? 0) + shift };
  await sql`select setval('epochs', ${era.epoch_after}::bigint)`;
  await sql`update event_batches set last_seq = last_seq + ${shift} where last_seq is not null`;
  await sql`update sequencer set last_seq = last_seq + ${shift} where chain = 'events'`;
  await sql`update service set alive_at = least(alive_at, clock_timestamp() - ${SILENCE_MINUTES} * interval '1 minute')`;
  // It concerns the installation, whose admins are those of the first workspace. The sequencer seals it.
  await sql`
    insert into audit_events (workspace_id, principal, action, entity, entity_id, details)
    select min(id), 'system', 'database.restore', 'database', null, ${JSON.stringify({
      backup_created_at: header.created_at,
      backup_version: header.flotilla_version,
      by,
      ...era,
    })}::text::jsonb from workspaces having count(*) > 0`;
  return era;
};
