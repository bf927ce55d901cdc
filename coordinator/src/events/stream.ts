import { createAlarm } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { watchRights } from '../tokens/authenticate.ts';
import { EVENT_BATCH, type Frame, readShared } from './read-shared.ts';

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
      const { frames, newest } = await readShared(deps, principal, options.types, last);
      for (const frame of frames) yield frame;
      const before = last;
      last = newest;
      if (frames.length > 0) quiet_since = performance.now();
      else if (performance.now() - quiet_since > CURSOR_MS) {
        quiet_since = performance.now();
        yield { id: last };
      }
      if (frames.length < EVENT_BATCH && last === before) await alarm.sleep(LOOK_MS, signal);
    }
  } finally {
    // A reader that goes away ends this at a yield.
    off();
  }
}

const readBounds = async ({ db: { sql } }: Deps): Promise<{ oldest: number; newest: number }> => {
  const [row] = await sql<{ oldest: number | null; newest: number }[]>`
    select (select min(seq) from events where seq is not null) as oldest, last_seq as newest from sequencer where chain = 'events'`;
  const newest = row?.newest ?? 0;
  return { newest, oldest: row?.oldest ?? newest + 1 };
};
