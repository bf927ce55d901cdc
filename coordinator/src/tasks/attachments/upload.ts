import { createHash } from 'node:crypto';

import { AppError, type api, type Attachment, type RouteInput, type TaskStatus } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import type { AttemptRow } from '../attempt-row.ts';
import { requireTask } from '../queries.ts';
import { finishUpload, requireOpen } from './finish.ts';
import { readAttachment } from './queries.ts';

/** One row each: large enough to be few, small enough to be nothing in memory. */
const CHUNK_BYTES = 256 * 1024;
/** Of a file that is refused for its size, this much is still taken in: most clients read no answer while they send. */
const MAX_DISCARDED_BYTES = 32 * 1024 * 1024;

type Input = RouteInput<typeof api.attachments.upload>;
type Owner = Pick<AttemptRow, 'id' | 'epoch' | 'ended_at' | 'report_digest'> & {
  task_epoch: number | null;
  status: TaskStatus;
  deleted_at: string | null;
};

/** Takes in a file of an attempt that takes files, chunk by chunk; nobody sees it before it is whole. */
export const uploadAttachment = async (
  deps: Deps,
  principal: Principal,
  { params, query, body }: Input,
): Promise<Attachment> => {
  const { sql } = deps.db;
  const attempt = await findAttempt(deps, principal, params.id, query.epoch);
  const [row] = await sql<{ id: number }[]>`
    insert into task_attachments (workspace_id, task_id, attempt_id, name, content_type)
    values (${principal.workspace_id}, ${params.id}, ${attempt.id}, ${query.name}, ${query.content_type}) returning id`;
  if (row === undefined) throw new Error('insert returned no row');
  try {
    const { size, sha256 } = await storeChunks(
      deps,
      { workspace_id: principal.workspace_id, attachment_id: row.id },
      body,
    );
    if (query.sha256 !== undefined && query.sha256 !== sha256)
      throw new AppError('invalid_input', {
        sentence: `sha256: ${size} bytes arrived, and they have another one.`,
        details: { size, sha256 },
      });
    await finishUpload(deps, {
      ...row,
      attempt_id: attempt.id,
      task_id: params.id,
      workspace_id: principal.workspace_id,
      size,
      sha256,
    });
  } catch (error) {
    // Whoever cannot delete it now (the database is gone) leaves it to retention.
    await sql`delete from task_attachments where id = ${row.id}`.catch(() => {});
    throw error;
  }
  return readAttachment(sql, row.id);
};

/** The attempt that the caller speaks for, if it takes files: its own token's, or the one of its epoch. */
const findAttempt = async (
  deps: Deps,
  principal: Principal,
  task_id: number,
  epoch: number | undefined,
): Promise<Owner> => {
  const { sql } = deps.db;
  if (principal.kind === 'agent' && epoch === undefined) {
    await requireTask(deps, principal, task_id);
    throw new AppError('invalid_input', { sentence: 'epoch: name the attempt that the file belongs to' });
  }
  const whose =
    principal.kind === 'attempt'
      ? sql`a.id = ${principal.id}`
      : sql`a.epoch = ${epoch ?? 0} and a.agent_id = ${principal.id}`;
  const [attempt] = await sql<Owner[]>`
    select a.id, a.epoch, a.ended_at, a.report_digest, t.epoch as task_epoch, t.status, t.deleted_at from attempts a join tasks t on t.id = a.task_id
    where ${whose} and a.task_id = ${task_id} and a.workspace_id = ${principal.workspace_id}`;
  if (attempt === undefined)
    throw new AppError('not_found', { sentence: `There is no such attempt of task ${task_id}.` });
  requireOpen({ attempt, task: { ...attempt, epoch: attempt.task_epoch } });
  return attempt;
};

type Target = { workspace_id: number; attachment_id: number };

const storeChunks = async (
  deps: Deps,
  { workspace_id, attachment_id }: Target,
  body: AsyncIterable<Uint8Array>,
): Promise<{ size: number; sha256: string }> => {
  const limit = deps.config.FLOTILLA_MAX_ATTACHMENT_BYTES;
  const hash = createHash('sha256');
  let size = 0;
  let stored = 0;
  let pending: Uint8Array[] = [];
  let held = 0;
  const flush = async (): Promise<void> => {
    if (held === 0) return;
    const data = Buffer.concat(pending);
    [pending, held] = [[], 0];
    await deps.db.sql`
      insert into attachment_chunks (workspace_id, attachment_id, seq, data) values (${workspace_id}, ${attachment_id}, ${stored}, ${data})`;
    stored += 1;
  };
  for await (const piece of body) {
    size += piece.length;
    if (size > limit + MAX_DISCARDED_BYTES) break;
    if (size > limit) continue;
    hash.update(piece);
    pending.push(piece);
    held += piece.length;
    if (held >= CHUNK_BYTES) await flush();
  }
  if (size > limit)
    throw new AppError('body_too_large', {
      sentence: `The file is larger than ${limit} bytes.`,
      details: { max_bytes: limit },
    });
  await flush();
  return { size, sha256: hash.digest('hex') };
};
