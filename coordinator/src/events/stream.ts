import { createAlarm, type Event } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { watchRights } from '../tokens/authenticate.ts';

const BATCH = 500;
/** An id-only frame this often moves the cursor of a filtered reader past what it does not see. */
const CURSOR_MS = 15_000;
/** Without a hint, look again: another coordinator may have sequenced. */
const LOOK_MS = 1_000;

export type Frame = { id: number; event?: string; data?: string };
type Row = Event & { id: number };

/**
 * Events after a position, then live, until the signal aborts. An id older than the retention, or from the future, gets
 * one `stream.reset` and goes on live.
 */
export async function* streamEvents(
  deps: Deps,
  principal: Principal,
  options: { types: string[] | undefined; after: number | null },
  signal: AbortSignal,
): AsyncGenerator<Frame> {
  const bounds = await readBounds(deps);
  let last = options.after ?? bounds.newest;
  if (last > bounds.newest || last < bounds.oldest - 1) {
    last = bounds.newest;
    yield { id: last, event: 'stream.reset', data: '{}' };
  } else {
    // Tells a client at once that it is connected and where.
    yield { id: last };
  }
  const mayRead = watchRights(deps, principal);
  let quiet_since = performance.now();
  const alarm = createAlarm();
  const off = deps.hub.on('events', () => alarm.ring());
  try {
    while (!signal.aborted) {
      if (!(await mayRead())) {
        yield { id: last, event: 'stream.closed', data: '{"reason":"the token was revoked or has expired"}' };
        return;
      }
      const { rows, newest } = await readAfter(deps, principal, options.types, last);
      for (const row of rows) yield frameOf(row);
      const before = last;
      last = rows.length === BATCH ? (rows.at(-1)?.seq ?? last) : newest;
      if (rows.length > 0) quiet_since = performance.now();
      else if (performance.now() - quiet_since > CURSOR_MS) {
        quiet_since = performance.now();
        yield { id: last };
      }
      if (rows.length < BATCH && last === before) await alarm.sleep(LOOK_MS, signal);
    }
  } finally {
    // A reader that goes away ends this at a yield.
    off();
  }
}

const frameOf = ({ seq, type, entity_id, version, workspace_id, summary, at }: Row): Frame => ({
  id: seq,
  event: type,
  data: JSON.stringify({ seq, type, entity_id, version, workspace_id, summary, at }),
});

const readBounds = async ({ db: { sql } }: Deps): Promise<{ oldest: number; newest: number }> => {
  const [row] = await sql<{ oldest: number | null; newest: number }[]>`
    select (select min(seq) from events where seq is not null) as oldest, last_seq as newest from sequencer where chain = 'events'`;
  const newest = row?.newest ?? 0;
  return { newest, oldest: row?.oldest ?? newest + 1 };
};

/** What the reader may see after `last`, and how far the stream has come, in one snapshot. Served by events_seq. */
const readAfter = async ({ db: { sql } }: Deps, principal: Principal, types: string[] | undefined, last: number) => {
  const families = types?.filter((type) => !type.includes('.')) ?? [];
  const rows = await sql<(Row | { seq: null; newest: number })[]>`
    with bound as (select last_seq as newest from sequencer where chain = 'events')
    select e.*, bound.newest from bound left join lateral (
      select seq, type, entity_id, version, workspace_id, summary, created_at as at from events
      where seq > ${last} and seq <= bound.newest and workspace_id = ${principal.workspace_id}
        ${principal.kind === 'agent' ? sql`and agent_id = ${principal.id}` : sql``}
        ${types === undefined ? sql`` : sql`and (type = any(${types}::text[]) or split_part(type, '.', 1) = any(${families}::text[]))`}
      order by seq limit ${BATCH}) e on true`;
  const newest = (rows[0] as { newest: number } | undefined)?.newest ?? last; // every row carries the bound
  return { newest, rows: rows.filter((row): row is Row => row.seq !== null) };
};
