import { createAlarm, type Permission, permissionsByRole } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { watchRights } from '../tokens/authenticate.ts';
import { type Chunk, controlFrame, eventFrames } from './frames.ts';
import { readStretch, type Seen } from './read-stretch.ts';
import type { Told } from './shared-reads.ts';

/** An id-only frame this often moves the cursor of a filtered reader past what it does not see. */
const CURSOR_MS = 15_000;
/** Without a hint, look again: another coordinator may have sequenced. */
const LOOK_MS = 1_000;

/**
 * Events after a position, then live, until the signal aborts. An id older than the retention, or from the future, gets
 * one `stream.reset` and goes on live.
 */
export async function* streamEvents(
  deps: Deps,
  principal: Principal,
  options: { types: string[] | undefined; after: number | null },
  signal: AbortSignal,
): AsyncGenerator<Chunk> {
  const bounds = await readBounds(deps);
  let last = options.after ?? bounds.newest;
  if (last > bounds.newest || last < bounds.oldest - 1) {
    last = bounds.newest;
    yield controlFrame({ id: last, event: 'stream.reset', data: '{}' });
  } else {
    // Tells a client at once that it is connected and where.
    yield controlFrame({ id: last });
  }
  const mayRead = watchRights(deps, principal);
  let quiet_since = performance.now();
  const alarm = createAlarm();
  const off = deps.event_reads.onNews(() => alarm.ring());
  try {
    while (!signal.aborted) {
      if (!(await mayRead())) {
        const data = '{"reason":"the token was revoked or has expired"}';
        yield controlFrame({ id: last, event: 'stream.closed', data });
        return;
      }
      const { chunk, newest, more } = await tell(deps, principal, options.types, last);
      last = newest;
      const cursor_due = performance.now() - quiet_since > CURSOR_MS;
      const frames = chunk ?? (cursor_due ? controlFrame({ id: last }) : null);
      if (frames !== null) {
        quiet_since = performance.now();
        yield frames;
      }
      if (!more) await alarm.sleep(LOOK_MS, signal);
    }
  } finally {
    // A reader that goes away ends this at a yield.
    off();
  }
}

/** What the reader may see after `last`: read once for all who stand there, encoded once for all who may see the same. */
const tell = (deps: Deps, principal: Principal, types: string[] | undefined, last: number): Promise<Told> => {
  const { workspace_id, role, kind, id } = principal;
  const key = JSON.stringify([workspace_id, role, kind === 'agent' ? id : null, types ?? null, last]);
  return deps.event_reads.told.get(key, async () => {
    const stretch = await deps.event_reads.stretch.get(String(last), () => readStretch(deps, last));
    const { newest, more } = stretch;
    const events = stretch.events.filter((event) => maySee(principal, event) && isOf(types, event));
    return { chunk: events.length === 0 ? null : eventFrames(events), newest, more };
  });
};

const maySee = ({ workspace_id, role, kind, id }: Principal, event: Seen): boolean =>
  event.workspace_id === workspace_id &&
  (permissionsByRole[role] as readonly Permission[]).includes(event.permission ?? 'events:read') &&
  (kind !== 'agent' || event.agent_id === id);

/** `task` means every `task.…`. */
const isOf = (types: string[] | undefined, { type }: Seen): boolean =>
  types === undefined || types.includes(type) || types.includes(type.slice(0, type.indexOf('.')));

const readBounds = async ({ db: { sql } }: Deps): Promise<{ oldest: number; newest: number }> => {
  const [row] = await sql<{ oldest: number | null; newest: number }[]>`
    select (select last_seq - count + 1 from event_batches where last_seq is not null order by last_seq limit 1) as oldest, last_seq as newest
    from sequencer where chain = 'events'`;
  const newest = row?.newest ?? 0;
  return { newest, oldest: row?.oldest ?? newest + 1 };
};
