import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { ApiError } from '@flotilla/shared';

import type { Report } from './journal.ts';
import { writeJsonFile } from './journal.ts';
import type { StatePaths } from './paths.ts';

/** Reports in flight at the same time; a host that returns with hundreds of results must not open hundreds of sockets. */
const REPORTS = 8;
/** Files in flight at the same time: each holds a file, a socket and some buffers for as long as it takes. */
const UPLOADS = 4;

/** Runs one call when a place is free, in the order in which they came. */
type Gate = <R>(run: () => Promise<R>) => Promise<R>;

/** The terminal reports on their way. Each attempt sends its own; this only bounds how many at once, and counts. */
export type Outbox = {
  /** Runs one try when a place is free. A report that waits between tries holds no place, so none blocks another. */
  gate: Gate;
  /** The same for the files that go before a report; a large one must not hold up other attempts' reports. */
  uploads: Gate;
  /** Reports refused for ever, by file count at start and each one since. */
  dead: number;
};

const createGate = (places: number): Gate => {
  let busy = 0;
  const waiting: (() => void)[] = [];
  return async (run) => {
    // A finished try hands its place over instead of freeing it, so that nobody overtakes the one who waits.
    if (busy >= places) await new Promise<void>((resolve) => waiting.push(resolve));
    else busy += 1;
    try {
      return await run();
    } finally {
      const next = waiting.shift();
      if (next === undefined) busy -= 1;
      else next();
    }
  };
};

/** An outbox that knows the dead letters on disk. */
export const openOutbox = async (paths: StatePaths): Promise<Outbox> => {
  const letters = (await readdir(paths.dead_letter)).filter((name) => !name.endsWith('.tmp'));
  return { dead: letters.length, gate: createGate(REPORTS), uploads: createGate(UPLOADS) };
};

/** Keeps a report that was refused for ever, with the refusal, where an operator finds it. */
export const buryReport = async (
  paths: StatePaths,
  outbox: Outbox,
  key: string,
  report: Report,
  error: ApiError,
): Promise<void> => {
  const refusal = {
    status: error.status,
    code: error.code,
    error: error.message,
    details: error.details,
    request_id: error.request_id,
  };
  await writeJsonFile(join(paths.dead_letter, `${key}.${report.verb}.json`), { key, report, refusal });
  outbox.dead += 1;
};
