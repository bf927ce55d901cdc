import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Download } from '../../download.ts';
import type { Principal } from '../../principal.ts';
import { requireTask } from '../queries.ts';
import { readAttachment } from './queries.ts';

/** Chunks per query: short ones, and as little in memory as a slow reader leaves there. */
const CHUNKS = 8;

/** Hands out a file of a task that the principal may see. */
export const downloadAttachment = async (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.attachments.download>,
): Promise<Download> => {
  const task = await requireTask(deps, principal, params.id);
  const { id, name, content_type, size } = await readAttachment(deps.db.sql, params.attachment_id, task.id);
  return { content_type, filename: name, size, body: readChunks(deps, id, size) };
};

async function* readChunks(deps: Deps, attachment_id: number, size: number): AsyncGenerator<Uint8Array> {
  let sent = 0;
  for (let seq = 0; sent < size; seq += CHUNKS) {
    const chunks = await deps.db.sql<{ data: Uint8Array }[]>`
      select data from attachment_chunks where attachment_id = ${attachment_id} and seq >= ${seq} and seq < ${seq + CHUNKS} order by seq`;
    // Replaced or deleted while it was read: the answer breaks off, so that half of it is not taken for the file.
    if (chunks.length === 0) throw new Error(`attachment ${attachment_id} went away while it was read`);
    for (const { data } of chunks) {
      sent += data.length;
      yield data;
    }
  }
}
