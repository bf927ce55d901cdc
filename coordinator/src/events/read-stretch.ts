import type { Event } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { NewEvent } from './record.ts';

/** So many positions, or one transaction's, whichever is more. */
const STRETCH = 2_000;

type Row = { last_seq: number; count: number; events: NewEvent[]; created_at: string };
export type Seen = Event & Pick<NewEvent, 'permission' | 'agent_id'>;
/** Everybody's events after a position; how far the stream has come with them, and whether there are more. */
export type Stretch = { events: Seen[]; newest: number; more: boolean };

/** One snapshot: a position below the newest that is not there was pruned. Served by event_batches_seq. */
export const readStretch = async ({ db: { sql } }: Deps, last: number): Promise<Stretch> => {
  const rows = await sql<((Row | { last_seq: null }) & { bound: number })[]>`
    with bound as (select last_seq as bound from sequencer where chain = 'events')
    select b.*, bound from bound left join lateral (
      select last_seq, count, events, created_at from event_batches
      where last_seq > ${last} and last_seq <= bound and (last_seq <= ${last + STRETCH} or last_seq - count <= ${last})
      order by last_seq) b on true`;
  const bound = rows[0]?.bound ?? last;
  const batches = rows.filter((row): row is Row & { bound: number } => row.last_seq !== null);
  const newest = batches.at(-1)?.last_seq ?? bound;
  const events = batches.flatMap((batch) => placed(batch)).filter(({ seq }) => seq > last);
  return { events, newest, more: newest < bound };
};

const placed = ({ last_seq, count, events, created_at }: Row): Seen[] =>
  events.map((event, index) => ({ ...event, seq: last_seq - count + index + 1, at: created_at }));
