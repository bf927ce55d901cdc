import { AppError } from '@flotilla/shared';
import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { ownAttempt } from '../tasks/attempt-row.ts';
import { findFutureEpochs } from '../tasks/future-epochs.ts';
import { renewByCall } from '../tasks/renew.ts';

/** Log and usage of an attempt that ended are accepted this long. */
const ACCEPTED_AFTER_END = '7 days';

type StreamRow = { size: number; final_size: number | null };

/**
 * Stores a chunk at its offset. What is already stored is skipped, a gap is refused with the wanted offset, so that any
 * number of repeats leaves the same bytes. Bytes over the storage limit are counted, not kept, and shown as truncated.
 */
export const appendLog = (
  deps: Deps,
  principal: Principal,
  { params, query, body }: RouteInput<typeof api.tasks.log>,
): Promise<{ next_offset: number }> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    const [attempt] = await sql<{ id: number; open: boolean; deleted_at: string | null }[]>`
      select a.id, a.ended_at is null or a.ended_at > flotilla_now() - ${ACCEPTED_AFTER_END}::interval as open, t.deleted_at
      from (select * from attempts where epoch = ${query.epoch} and task_id = ${params.id} and ${ownAttempt(sql, principal)}) a
      join tasks t on t.id = a.task_id`;
    if (attempt === undefined && (await findFutureEpochs({ ...deps, db }, [query.epoch])).size > 0)
      throw new AppError('lease_lost', { hint: 'stop this attempt; its epoch is unknown here' });
    if (attempt === undefined)
      throw new AppError('not_found', {
        sentence: `There is no attempt ${query.epoch} of task ${params.id} by this agent.`,
      });
    if (attempt.deleted_at !== null) throw new AppError('task_gone');
    await renewByCall(sql, [{ task_id: params.id, epoch: query.epoch }]);
    await sql`insert into attempt_streams (workspace_id, attempt_id, stream) values (${principal.workspace_id}, ${attempt.id}, ${query.stream}) on conflict do nothing`;
    const [stream] = await sql<StreamRow[]>`
      select size, final_size from attempt_streams where attempt_id = ${attempt.id} and stream = ${query.stream} for update`;
    const size = stream?.size ?? 0;
    const end = query.offset + body.length;
    if (query.offset > size) throw new AppError('log_gap', { details: { wanted_offset: size } });
    if (end <= size) return { next_offset: size };
    const final_size = stream?.final_size ?? null;
    if (!attempt.open || (final_size !== null && end > final_size)) {
      throw new AppError('lease_lost', {
        sentence: 'The log of this attempt is closed.',
        details: { size, final_size },
      });
    }
    await storeChunk(
      { ...deps, db },
      {
        ...principal,
        attempt_id: attempt.id,
        stream: query.stream,
        start: size,
        fresh: body.subarray(size - query.offset),
      },
    );
    return { next_offset: end };
  });

type Chunk = { workspace_id: number; attempt_id: number; stream: string; start: number; fresh: Uint8Array };

const storeChunk = async (deps: Deps, { workspace_id, attempt_id, stream, start, fresh }: Chunk): Promise<void> => {
  const { sql } = deps.db;
  const kept = fresh.subarray(0, Math.max(0, deps.config.FLOTILLA_MAX_LOG_BYTES - start));
  if (kept.length > 0) {
    await sql`
      insert into attempt_logs (workspace_id, attempt_id, stream, start, data)
      values (${workspace_id}, ${attempt_id}, ${stream}, ${start}, ${Buffer.from(kept)})`;
  }
  await sql`
    update attempt_streams set size = ${start + fresh.length}, truncated = truncated or ${kept.length < fresh.length}
    where attempt_id = ${attempt_id} and stream = ${stream}`;
  deps.db.afterCommit(() => deps.hub.raise('log', attempt_id));
};
