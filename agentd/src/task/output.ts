import { open, readFile, stat, writeFile } from 'node:fs/promises';

import { ApiError, type LogStream } from '@flotilla/shared';

import { describeError, untilAnswered } from '../answers.ts';
import type { Deps } from '../deps.ts';
import type { Attempt } from './attempt.ts';

const CHUNK = 256 * 1024;
const MIN_CHUNK = 4 * 1024;

/** Stands where the log was cut; the same for the same limit, so that a restart uploads the same bytes. */
export const cutMark = (max_log_bytes: number): Buffer => Buffer.from(`\n[flotilla: log cut at ${max_log_bytes} bytes]\n`);

const fileSize = (path: string): Promise<number> =>
  stat(path).then(
    (found) => found.size,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return 0; // the shim has not opened it, or never ran
      throw error;
    },
  );

/** Bytes of a stream as they are uploaded: the file, or its first bytes and a mark. */
export const logSize = async ({ files, record }: Attempt, stream: LogStream): Promise<number> => {
  const size = await fileSize(files[stream]);
  return size <= record.max_log_bytes ? size : record.max_log_bytes + cutMark(record.max_log_bytes).length;
};

/** Reads at most `length` uploaded bytes from `offset`. */
const readLog = async ({ files, record }: Attempt, stream: LogStream, offset: number, length: number): Promise<Uint8Array> => {
  const { max_log_bytes } = record;
  if (offset >= max_log_bytes) return cutMark(max_log_bytes).subarray(offset - max_log_bytes);
  const buffer = Buffer.alloc(Math.min(length, max_log_bytes - offset));
  const handle = await open(files[stream], 'r');
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

const isGoneForLogs = (error: unknown): boolean => error instanceof ApiError && error.status === 404 && error.code !== null;

/** Sends one chunk and answers where the coordinator wants the next one, or why it wants none. */
const sendChunk = async (deps: Deps, attempt: Attempt, stream: LogStream, offset: number, chunk: Uint8Array, signal: AbortSignal) => {
  const { id, epoch } = attempt.record.task;
  const call = async (limited: AbortSignal): Promise<{ next_offset: number } | { refused: ApiError }> => {
    try {
      return await deps.client.tasks.log({ params: { id }, query: { epoch, stream, offset }, body: chunk }, { signal: limited });
    } catch (error) {
      if (error instanceof ApiError && error.code === 'log_gap' && typeof error.details?.wanted_offset === 'number') {
        return { next_offset: error.details.wanted_offset };
      }
      if (isGoneForLogs(error)) return { refused: error as ApiError };
      throw error;
    }
  };
  return untilAnswered(deps, { what: `${stream} of ${attempt.key}`, deadline_ms: 60_000, signal, call });
};

/**
 * Uploads one stream from where the coordinator has it, until its final size is acknowledged or it is refused for good.
 * It never delays the terminal report: logs of an ended attempt are accepted later.
 */
export const uploadLog = async (deps: Deps, attempt: Attempt, stream: LogStream, signal: AbortSignal): Promise<void> => {
  let { offset, refused } = await readProgress(attempt, stream);
  let chunk_size = CHUNK;
  const settle = (progress: Progress) => writeFile(progressPath(attempt, stream), `${progress.offset}${progress.refused ? ' refused' : ''}`);
  while (!refused && !signal.aborted) {
    const available = await logSize(attempt, stream);
    if (offset >= available) {
      const { report } = attempt;
      // The final sizes are fixed with the report; a stream that never existed has none.
      if (report !== null && offset >= (report.body.log_sizes?.[stream] ?? 0)) return;
      await attempt.changed.wait(deps.config.log_poll_ms, signal);
      continue;
    }
    const chunk = await readLog(attempt, stream, offset, chunk_size);
    const answer = await sendChunk(deps, attempt, stream, offset, chunk, signal);
    if (answer === null) return;
    if (answer.kind === 'answer' && 'next_offset' in answer.value) {
      const { next_offset } = answer.value;
      // An answer that asks for the same bytes again must not become a busy loop.
      if (next_offset <= offset) await attempt.changed.wait(1000, signal);
      offset = next_offset;
      await settle({ offset, refused });
      deps.crash('log.uploaded');
      continue;
    }
    const error = answer.kind === 'answer' ? (answer.value as { refused: ApiError }).refused : answer.error;
    if (error.status === 413 && chunk_size > MIN_CHUNK) {
      chunk_size = Math.max(MIN_CHUNK, chunk_size / 4); // a proxy with a smaller limit than ours
      continue;
    }
    refused = true;
    await settle({ offset, refused });
    deps.log.warn({ attempt: attempt.key, stream, offset, error: describeError(error) }, 'the rest of a log is refused for good');
  }
};
