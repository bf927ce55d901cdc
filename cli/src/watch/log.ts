import { ApiError, backoffDelay, type LogStream, sleep } from '@flotilla/shared';

import { terminalFilter } from '../output/sanitize.ts';
import type { Session } from '../session.ts';
import { isPassing } from './until.ts';

export type LogRequest = {
  task_id: number;
  attempt?: number | undefined;
  stream?: LogStream | undefined;
  follow: boolean;
};

/** Writes and waits while the reader is slower than the log, so that a long log never piles up in memory. */
export const logWriter = (target: NodeJS.WriteStream): ((bytes: Uint8Array) => Promise<void>) => {
  const decoder = new TextDecoder();
  const filter = terminalFilter();
  return async (bytes) => {
    // A pipe or a file gets the bytes as they are; only a terminal can be steered by them.
    const chunk = target.isTTY ? filter(decoder.decode(bytes, { stream: true })) : bytes;
    if (!target.write(chunk)) await new Promise<void>((resolve) => target.once('drain', () => resolve()));
  };
};

const RECONNECT = { min_ms: 300, max_ms: 5_000 };

/**
 * Copies the log of one attempt. A follow that breaks goes on where it was: by byte offset when one stream is asked for,
 * else by skipping what was already shown (both streams in order of arrival are append-only, but have no offset).
 */
export const copyLog = async (
  session: Session,
  request: LogRequest,
  write: (bytes: Uint8Array) => Promise<void>,
  options: { signal?: AbortSignal; live?: () => Promise<boolean> } = {},
): Promise<void> => {
  const { client } = session;
  const signal = options.signal ?? session.signal;
  let shown = 0;
  for (let failures = 0; ; failures++) {
    const from = request.stream === undefined ? 0 : shown;
    let skip = shown - from;
    try {
      const query = {
        attempt: request.attempt,
        stream: request.stream,
        from,
        follow: request.follow ? 'true' : 'false',
      };
      const response = await client.tasks.readLog({ params: { id: request.task_id }, query }, { signal });
      for await (const bytes of response.body ?? []) {
        const fresh = skip >= bytes.byteLength ? null : bytes.subarray(skip);
        skip = Math.max(0, skip - bytes.byteLength);
        if (fresh === null) continue;
        failures = 0;
        shown += fresh.byteLength;
        await write(fresh);
      }
      // A proxy may end a long answer politely: the attempt, not the connection, says when the log ends.
      if (!request.follow || !(await (options.live?.() ?? Promise.resolve(false)))) return;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!request.follow || !isPassing(error) || (error instanceof ApiError && error.status === 404)) throw error;
      if (failures === 0) session.say('The log broke off; going on where it was…');
    }
    await sleep(backoffDelay(failures, RECONNECT) + 100, signal);
    signal.throwIfAborted();
  }
};
