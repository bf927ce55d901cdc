import { AppError } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import { recordEvents } from '../../events/record.ts';
import { announce } from '../announce.ts';

/** So many files of one attempt; what leaves more wants an archive. */
const MAX_FILES = 200;

type Upload = { id: number; task_id: number; attempt_id: number; workspace_id: number; size: number; sha256: string };

/** Makes an upload visible, instead of an older file of its name: while its attempt lives, and within its limits. */
export const finishUpload = (deps: Deps, upload: Upload): Promise<void> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    const { id, task_id, attempt_id, workspace_id, size, sha256 } = upload;
    // The attempt's row decides: its end waits for us, or we see it; and uploads of one attempt are counted in turn.
    const [attempt] = await sql<{ agent_id: number }[]>`
      select agent_id from attempts where id = ${attempt_id} and ended_at is null for no key update`;
    if (attempt === undefined) throw new AppError('lease_lost');
    await sql`
      delete from task_attachments old using task_attachments fresh
      where fresh.id = ${id} and old.attempt_id = fresh.attempt_id and old.name = fresh.name and old.completed_at is not null`;
    const [kept] = await sql<{ files: number; bytes: number }[]>`
      select count(*)::int as files, coalesce(sum(size), 0)::bigint as bytes from task_attachments
      where task_id = ${task_id} and attempt_id = ${attempt_id} and completed_at is not null`;
    const max_bytes = deps.config.FLOTILLA_MAX_ATTEMPT_ATTACHMENT_BYTES;
    if ((kept?.bytes ?? 0) + size > max_bytes || (kept?.files ?? 0) >= MAX_FILES)
      throw new AppError('body_too_large', {
        sentence: `The files of one attempt may be ${MAX_FILES} and ${max_bytes} bytes together.`,
        details: { max_bytes, max_files: MAX_FILES },
      });
    await sql`update task_attachments set size = ${size}, sha256 = ${sha256}, completed_at = flotilla_now() where id = ${id}`;
    const [task] = await sql<{ version: number }[]>`select version from tasks where id = ${task_id}`;
    await recordEvents(db, [
      {
        type: 'task.attached',
        entity_id: task_id,
        workspace_id,
        version: task?.version ?? 0,
        agent_id: attempt.agent_id,
        summary: { attachment_id: id, size },
      },
    ]);
    announce({ ...deps, db }, null);
  });
