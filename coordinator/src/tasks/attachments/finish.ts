import { AppError } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import { recordEvents } from '../../events/record.ts';
import { announce } from '../announce.ts';
import { type AttemptRow, isLatestUnclaimed } from '../attempt-row.ts';
import type { TaskRow } from '../lifecycle.ts';

/** So many files of one attempt; what leaves more wants an archive. */
const MAX_FILES = 200;

type Upload = { id: number; task_id: number; attempt_id: number; workspace_id: number; size: number; sha256: string };

type Facts = {
  attempt: Pick<AttemptRow, 'epoch' | 'ended_at' | 'report_digest'>;
  task: Pick<TaskRow, 'epoch' | 'status' | 'deleted_at'>;
};

/**
 * Files are welcome as long as a success is: while the attempt lives, and after its lease ran out while nobody claimed the
 * task. Throws what the agent is told otherwise.
 */
export const requireOpen = ({ attempt, task }: Facts): void => {
  if (task.deleted_at !== null) throw new AppError('task_gone');
  if (attempt.ended_at !== null && !isLatestUnclaimed(attempt, task)) throw new AppError('lease_lost');
};

/** Makes an upload visible, instead of an older file of its name: while its attempt takes files, and within its limits. */
export const finishUpload = (deps: Deps, upload: Upload): Promise<void> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    const { id, task_id, attempt_id, workspace_id, size, sha256 } = upload;
    // The attempt's row decides: its end waits for us, or we see it; and uploads of one attempt are counted in turn.
    const [attempt] = await sql<(Facts['attempt'] & { agent_id: number })[]>`
      select epoch, ended_at, report_digest, agent_id from attempts where id = ${attempt_id} for no key update`;
    if (attempt === undefined) throw new AppError('lease_lost');
    // Of an ended attempt the task's row decides, too: the next claim waits for us, or we see it.
    const [task] = await sql<(Facts['task'] & { version: number })[]>`
      select epoch, status, deleted_at, version from tasks where id = ${task_id} ${attempt.ended_at === null ? sql`` : sql`for no key update`}`;
    if (task === undefined) throw new AppError('task_gone');
    requireOpen({ attempt, task });
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
    await recordEvents(db, [
      {
        type: 'task.attached',
        entity_id: task_id,
        workspace_id,
        version: task.version,
        agent_id: attempt.agent_id,
        summary: { attachment_id: id, size },
      },
    ]);
    announce({ ...deps, db }, null);
  });
