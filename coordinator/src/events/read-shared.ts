import { type Event, permissionsByRole } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Hub } from '../hub.ts';
import type { Principal } from '../principal.ts';

export const EVENT_BATCH = 500;
/** An answer is good this long without a hint: readers look again every second. */
const GOOD_MS = 500;
const MAX_SHARED = 1_000;

export type Frame = { id: number; event?: string; data?: string };
/** Frames to send, and how far the stream has come with them. */
type Read = { frames: Frame[]; newest: number };

/**
 * What live readers share: a thousand of them stand at the same place with the same filter, and one query answers them
 * all. New events make every answer old.
 */
export type SharedReads = { find(key: string): Promise<Read> | null; keep(key: string, read: Promise<Read>): void };

export const createSharedReads = (hub: Hub): SharedReads => {
  const reads = new Map<string, { at: number; read: Promise<Read> }>();
  hub.on('events', () => reads.clear());
  return {
    find: (key) => {
      const known = reads.get(key);
      return known !== undefined && performance.now() - known.at < GOOD_MS ? known.read : null;
    },
    keep: (key, read) => {
      if (reads.size >= MAX_SHARED) reads.clear();
      const entry = { at: performance.now(), read };
      reads.set(key, entry);
      // Neither an error nor a full batch of a replay is worth keeping.
      const drop = () => {
        if (reads.get(key) === entry) reads.delete(key);
      };
      read.then(({ frames }) => {
        if (frames.length === EVENT_BATCH) drop();
      }, drop);
    },
  };
};

/** What the reader may see after `last`, read for all who may see the same. */
export const readShared = (
  deps: Deps,
  principal: Principal,
  types: string[] | undefined,
  last: number,
): Promise<Read> => {
  const { workspace_id, role, kind, id } = principal;
  const key = JSON.stringify([workspace_id, role, kind === 'agent' ? id : null, types ?? null, last]);
  const known = deps.event_reads.find(key);
  if (known !== null) return known;
  const read = readAfter(deps, principal, types, last);
  deps.event_reads.keep(key, read);
  return read;
};

/** Events after `last` and how far the stream has come, in one snapshot. Served by events_seq. */
const readAfter = async (
  { db: { sql } }: Deps,
  principal: Principal,
  types: string[] | undefined,
  last: number,
): Promise<Read> => {
  const families = types?.filter((type) => !type.includes('.')) ?? [];
  const rows = await sql<(Event | { seq: null; newest: number })[]>`
    with bound as (select last_seq as newest from sequencer where chain = 'events')
    select e.*, bound.newest from bound left join lateral (
      select seq, type, entity_id, version, workspace_id, summary, created_at as at from events
      where seq > ${last} and seq <= bound.newest and workspace_id = ${principal.workspace_id}
        and permission = any(${[...permissionsByRole[principal.role]]}::text[])
        ${principal.kind === 'agent' ? sql`and agent_id = ${principal.id}` : sql``}
        ${types === undefined ? sql`` : sql`and (type = any(${types}::text[]) or split_part(type, '.', 1) = any(${families}::text[]))`}
      order by seq limit ${EVENT_BATCH}) e on true`;
  const bound = (rows[0] as { newest: number } | undefined)?.newest ?? last; // every row carries the bound
  const frames = rows.filter((row): row is Event => row.seq !== null).map(frameOf);
  return { frames, newest: frames.length === EVENT_BATCH ? (frames.at(-1)?.id ?? last) : bound };
};

const frameOf = ({ seq, type, entity_id, version, workspace_id, summary, at }: Event): Frame => ({
  id: seq,
  event: type,
  data: JSON.stringify({ seq, type, entity_id, version, workspace_id, summary, at }),
});
