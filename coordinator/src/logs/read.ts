import { AppError, createAlarm, type LogStream, sleep } from '@flotilla/shared';
import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { getTask } from '../tasks/queries.ts';

/** Chunks per query, and how long a follower sleeps when no hint comes (another coordinator may take the uploads). */
const CHUNKS = 64;
const FOLLOW_MS = 1_000;

type Selected = { attempt_id: number; stream: LogStream | null; from: number };
type Finder = () => Promise<Selected | null>;
type Chunk = { stream: LogStream; start: number; data: Uint8Array };

/** Finds the attempt whose log is asked for: the named one, or the newest. Null: the task was never claimed. */
export const selectLog = async (
  deps: Deps,
  principal: Principal,
  { params, query }: RouteInput<typeof api.tasks.readLog>,
): Promise<Selected | null> => {
  await getTask(deps, principal, params.id);
  if (query.from > 0 && query.stream === undefined) {
    throw new AppError('invalid_input', {
      sentence: 'from: needs a stream',
      hint: 'add stream=stdout or stream=stderr',
    });
  }
  const [attempt] = await deps.db.sql<{ id: number }[]>`
    select id from attempts where task_id = ${params.id} and workspace_id = ${principal.workspace_id}
      ${query.attempt === undefined ? deps.db.sql`` : deps.db.sql`and number = ${query.attempt}`}
    order by id desc limit 1`;
  if (attempt === undefined && query.attempt !== undefined)
    throw new AppError('not_found', { sentence: `Task ${params.id} has no attempt ${query.attempt}.` });
  return attempt === undefined ? null : { attempt_id: attempt.id, stream: query.stream ?? null, from: query.from };
};

/**
 * Yields the bytes of a log: one stream from an offset, or both in order of arrival. With `follow` it goes on until the
 * attempt ended and everything it declared has arrived, or the signal aborts.
 */
export async function* readLog(
  deps: Deps,
  which: Selected | Finder,
  follow: boolean,
  mayRead: () => Promise<boolean>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const selected = typeof which === 'function' ? await firstAttempt(which, follow, signal) : which;
  if (selected === null) return;
  // Positions per stream, not row ids: chunks of the two streams may commit in another order than their ids.
  const next = { stdout: selected.from, stderr: selected.from };
  const alarm = createAlarm();
  const off = deps.hub.on('log', (attempt_id) => {
    if (attempt_id === selected.attempt_id) alarm.ring();
  });
  try {
    for (;;) {
      // Asked before reading: what arrives between the two is found by the last round.
      const over = !follow || (await logIsOver(deps, selected.attempt_id)) || !(await mayRead());
      for (let full = true; full && !signal.aborted;) {
        const chunks = await nextChunks(deps, selected, next);
        for (const { stream, start, data } of chunks) {
          yield data.subarray(Math.max(0, next[stream] - start));
          next[stream] = start + data.length;
        }
        full = chunks.length === CHUNKS;
      }
      if (over || signal.aborted) break;
      await alarm.sleep(FOLLOW_MS, signal);
    }
  } finally {
    // A reader that goes away ends this at a yield.
    off();
  }
  if (await isTruncated(deps, selected))
    yield new TextEncoder().encode('\n[flotilla: the log is longer than the storage limit; the rest was not kept]\n');
}

/** A follower of a task that nobody claimed yet waits for the first attempt. */
const firstAttempt = async (find: Finder, follow: boolean, signal: AbortSignal): Promise<Selected | null> => {
  for (;;) {
    const selected = await find();
    if (selected !== null || !follow || signal.aborted) return selected;
    await sleep(FOLLOW_MS, signal);
  }
};

type Positions = Record<LogStream, number>;

const nextChunks = ({ db: { sql } }: Deps, { attempt_id, stream }: Selected, next: Positions): Promise<Chunk[]> => {
  const after = (name: LogStream) => sql`(stream = ${name} and start + octet_length(data) > ${next[name]})`;
  return sql<Chunk[]>`
    select stream, start, data from attempt_logs
    where attempt_id = ${attempt_id} and ${stream === null ? sql`(${after('stdout')} or ${after('stderr')})` : after(stream)}
    order by id limit ${CHUNKS}`;
};

const logIsOver = async ({ db: { sql } }: Deps, attempt_id: number): Promise<boolean> => {
  const [row] = await sql<{ over: boolean }[]>`
    select a.ended_at is not null and not exists (
      select 1 from attempt_streams s where s.attempt_id = a.id and s.size < s.final_size) as over
    from attempts a where a.id = ${attempt_id}`;
  return row?.over ?? true;
};

const isTruncated = async ({ db: { sql } }: Deps, { attempt_id, stream }: Selected): Promise<boolean> => {
  const rows = await sql`
    select 1 from attempt_streams where attempt_id = ${attempt_id} and truncated ${stream === null ? sql`` : sql`and stream = ${stream}`}`;
  return rows.length > 0;
};
