import { ApiError, backoffDelay, BadAnswerError, sleep } from '@flotilla/shared';

import { CliError, Interrupted, UnreachableError } from '../exit.ts';
import type { Session } from '../session.ts';

/** Trouble that passes: watching survives a restart of the coordinator, a deploy of a proxy, a network change. */
export const isPassing = (error: unknown): boolean => {
  if (error instanceof UnreachableError || error instanceof BadAnswerError) return true;
  if (error instanceof CliError) return error.exit === 'timeout';
  if (error instanceof ApiError) return error.status >= 500 || error.status === 429 || error.code === null;
  return error instanceof TypeError;
};

export type Watch<T> = {
  /** What is waited for, for the sentences: `TASK-12`, `scout to drain`. */
  what: string;
  read: () => Promise<T>;
  done: (value: T) => boolean;
  /** Told every answer; prints on stderr when something changed. */
  show: (value: T) => void;
  /** Null waits for ever. */
  timeout_s: number | null;
  /** Said when this program stops watching before the end: the work goes on. */
  again: string;
};

const POLL = { min_ms: 150, max_ms: 1_000 };
const TROUBLE = { min_ms: 500, max_ms: 10_000 };

/** Reads until done. Ctrl-C and the timeout end the watching, never the work. */
export const watchUntil = async <T>(session: Session, watch: Watch<T>): Promise<T> => {
  const { signal } = session;
  const deadline = watch.timeout_s === null ? Number.POSITIVE_INFINITY : performance.now() + watch.timeout_s * 1000;
  let pause_ms = POLL.min_ms;
  let failures = 0;
  try {
    for (;;) {
      try {
        const value = await watch.read();
        if (failures > 0) session.say('The coordinator answers again.');
        failures = 0;
        watch.show(value);
        if (watch.done(value)) return value;
        pause_ms = Math.min(POLL.max_ms, pause_ms * 1.3);
      } catch (error) {
        if (!isPassing(error) || signal.aborted) throw error;
        if (failures === 0)
          session.say(
            `Lost the coordinator (${error instanceof Error ? error.message : String(error)}); trying again…`,
          );
        pause_ms = POLL.min_ms + backoffDelay(failures++, TROUBLE);
      }
      if (performance.now() >= deadline) {
        throw new CliError('timeout', `Stopped waiting for ${watch.what}; it goes on.`, {
          code: 'timeout',
          hint: watch.again,
        });
      }
      await sleep(Math.min(pause_ms, Math.max(1, deadline - performance.now())), signal);
      signal.throwIfAborted();
    }
  } catch (error) {
    if (error instanceof Interrupted) session.say(`Stopped waiting for ${watch.what}; it goes on. ${watch.again}`);
    throw error;
  }
};
