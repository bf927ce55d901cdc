import { open, readFile, stat, writeFile } from 'node:fs/promises';

import { ApiError, type LogStream } from '@flotilla/shared';

import { describeError, untilAnswered } from '../answers.ts';
import type { Deps } from '../deps.ts';
import type { Attempt } from './attempt.ts';

const CHUNK = 256 * 1024;
const MIN_CHUNK = 4 * 1024;

/** Stands where the log was cut; the same for the same limit, so that a restart uploads the same bytes. */
const cutMark = (max_log_bytes: number): Buffer => Buffer.from(`\n[flotilla: log cut at ${max_log_bytes} bytes]\n`);

const fileSize = (path: string): Promise<number> =>
  stat(path).then(
    (found) => found.size,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return 0; // the shim has not opened it, or never ran
      throw error;
    },
  );

/** A stream as it is uploaded: its file, or the first bytes of it and a mark, and then what we have to add. */
const readShape = async (
  { files, record, notes }: Attempt,
  stream: LogStream,
): Promise<{ own: number; added: Buffer }> => {
  const size = await fileSize(files[stream]);
  const mark = size > record.max_log_bytes ? cutMark(record.max_log_bytes) : Buffer.alloc(0);
  // There are notes only when nobody writes any more; stdout is a result and stays what it is.
  const said = Buffer.from(stream === 'stderr' ? (notes ?? '') : '');
  return { own: Math.min(size, record.max_log_bytes), added: Buffer.concat([mark, said]) };
};

/** Bytes of a stream as they are uploaded. */
export const logSize = async (attempt: Attempt, stream: LogStream): Promise<number> => {
  const { own, added } = await readShape(attempt, stream);
  return own + added.length;
};

/** Reads at most `length` uploaded bytes from `offset`. */
const readLog = async (attempt: Attempt, stream: LogStream, offset: number, length: number): Promise<Uint8Array> => {
  const { own, added } = await readShape(attempt, stream);
  if (offset >= own) return added.subarray(offset - own, offset - own + length);
  const buffer = Buffer.alloc(Math.min(length, own - offset));
  const handle = await open(attempt.files[stream], 'r');
  try {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
};

/** How far a stream was acknowledged: a hint that saves a second upload. The coordinator's own offset is the truth. */
type Progress = { offset: number; refused: boolean };
const progressPath = ({ files }: Attempt, stream: LogStream): string => `${files.uploaded}.${stream}`;

const readProgress = async (attempt: Attempt, stream: LogStream): Promise<Progress> => {
  const raw = await readFile(progressPath(attempt, stream), 'utf8').catch(() => '');
  const [, digits, refused] = /^(\d+)( refused)?$/.exec(raw) ?? [];
  return { offset: Number(digits ?? 0), refused: refused !== undefined };
};

type Sent = { next_offset: number } | { refused: ApiError };

/** Sends one chunk and answers where the coordinator wants the next one, or why it wants none; null on an abort. */
const sendChunk = async (
  deps: Deps,
  attempt: Attempt,
  stream: LogStream,
  offset: number,
  chunk: Uint8Array,
  signal: AbortSignal,
): Promise<Sent | null> => {
  const { id, epoch } = attempt.record.task;
  const call = async (limited: AbortSignal): Promise<Sent> => {
    try {
      const input = { params: { id }, query: { epoch, stream, offset }, body: chunk };
      return await deps.client.tasks.log(input, { signal: limited });
    } catch (error) {
      const wanted = error instanceof ApiError && error.code === 'log_gap' ? error.details?.wanted_offset : undefined;
      if (typeof wanted === 'number') return { next_offset: wanted };
      if (error instanceof ApiError && error.status === 404 && error.code !== null) return { refused: error };
      throw error;
    }
  };
  const answer = await untilAnswered(deps, {
    what: `${stream} of ${attempt.key}`,
    deadline_ms: 60_000,
    signal,
    call,
  });
  if (answer === null) return null;
  return answer.kind === 'answer' ? answer.value : { refused: answer.error };
};

/**
 * Waits for more to upload; false when there will be none. The final sizes are fixed with the report, and a stream that
 * never existed has none.
 */
const awaitMore = async (
  deps: Deps,
  attempt: Attempt,
  stream: LogStream,
  offset: number,
  signal: AbortSignal,
): Promise<boolean> => {
  const { report } = attempt;
  if (report !== null && offset >= (report.body.log_sizes?.[stream] ?? 0)) return false;
  await attempt.changed.wait(deps.config.log_poll_ms, signal);
  return true;
};

/**
 * Uploads one stream from where the coordinator has it, until its final size is acknowledged or it is refused for good.
 * It never delays the terminal report: logs of an ended attempt are accepted later.
 */
export const uploadLog = async (
  deps: Deps,
  attempt: Attempt,
  stream: LogStream,
  signal: AbortSignal,
): Promise<void> => {
  let { offset, refused } = await readProgress(attempt, stream);
  let chunk_size = CHUNK;
  while (!refused && !signal.aborted) {
    if (offset >= (await logSize(attempt, stream))) {
      if (!(await awaitMore(deps, attempt, stream, offset, signal))) return;
      continue;
    }
    const chunk = await readLog(attempt, stream, offset, chunk_size);
    const sent = await sendChunk(deps, attempt, stream, offset, chunk, signal);
    if (sent === null) return;
    if ('next_offset' in sent) {
      // An answer that asks for the same bytes again must not become a busy loop.
      if (sent.next_offset <= offset) await attempt.changed.wait(1000, signal);
      offset = sent.next_offset;
    } else if (sent.refused.status === 413 && chunk_size > MIN_CHUNK) {
      chunk_size = Math.max(MIN_CHUNK, chunk_size / 4); // a proxy with a smaller limit than ours
    } else {
      refused = true;
      const error = describeError(sent.refused);
      deps.log.warn({ attempt: attempt.key, stream, offset, error }, 'the rest of a log is refused for good');
    }
    await writeFile(progressPath(attempt, stream), `${offset}${refused ? ' refused' : ''}`);
    deps.crash('log.uploaded');
  }
};
