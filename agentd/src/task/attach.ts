import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { ApiError, type ByteSource } from '@flotilla/shared';

import { type Answered, describeError, readRefusal, untilAnswered } from '../answers.ts';
import type { Deps } from '../deps.ts';
import { writeDurable } from '../local/files.ts';
import type { IntentKind } from '../local/journal.ts';
import type { Attempt } from './attempt.ts';
import { captureOutput } from './capture.ts';
import { readExit } from './watch.ts';

/** What the coordinator takes of one attempt. */
const MAX_FILES = 200;
/** Lines in the log about what was not attached; the rest is counted. */
const MAX_NOTES = 200;
/** A file is given up when it has failed this often while beats get through. */
const MAX_STRIKES = 5;
/** Read at a time: with Node's own 64 kB agentd is 10 MB larger after a large file, and not faster. */
const READ_BYTES = 16 * 1024;
/** A try may take this long and the time the file needs at 50 kB/s, but never more than half an hour. */
const TRY_MS = 60_000;
const SLOWEST_BYTES_PER_MS = 50;
const LONGEST_TRY_MS = 1_800_000;

/** Whoever stops an attempt for these reasons wants no result of it. */
const unwanted: ReadonlySet<IntentKind> = new Set(['lost', 'fence', 'drain']);

type Found = { name: string; path: string; size: number };
type Skip = (name: string, reason: string) => void;
/** Shared by all files of an attempt: a full disk of the coordinator must not cost its time once per file. */
type Patience = { beats: number; strikes: number };

/** File names and foreign words must stay within their line. */
const noteLine = (text: string): string =>
  `[flotilla: ${text
    .slice(0, 500)
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, '?')}]\n`;

/** Says what was not attached: to the operator at once, to the user in the text that is added to the attempt's log. */
const createNotes = ({ log }: Deps, attempt: Attempt): { skip: Skip; text: () => string } => {
  const lines: string[] = [];
  let more = 0;
  return {
    skip: (name, reason) => {
      if (lines.length >= MAX_NOTES) {
        more += 1;
        return;
      }
      log.warn({ attempt: attempt.key, name, reason }, 'a file was not attached');
      lines.push(noteLine(`${name} was not attached: ${reason}`));
    },
    text: () => lines.join('') + (more === 0 ? '' : noteLine(`${more} more were not attached`)),
  };
};

/** The regular files directly in the folder, by name. Trouble with one, or with the folder, is no trouble of the attempt. */
const findFiles = async (dir: string, skip: Skip): Promise<Found[]> => {
  const found: Found[] = [];
  try {
    if (!(await lstat(dir)).isDirectory()) throw new Error('it is no folder');
    for (const name of (await readdir(dir)).toSorted()) {
      const path = join(dir, name);
      const about = await lstat(path).catch((error: Error) => error);
      if (about instanceof Error) skip(name, describeError(about));
      else if (!about.isFile()) skip(name, 'it is no regular file');
      else if (found.length >= MAX_FILES) skip(name, `an attempt may leave ${MAX_FILES} files`);
      else found.push({ name, path, size: about.size });
    }
  } catch (error) {
    // Started before this folder existed, or removed by the task.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') skip('attachments', describeError(error));
  }
  return found;
};

/** No process of the attempt is left: the file stays as long as it was found to be. */
const bytesOf = ({ path, size }: Found): ByteSource | Uint8Array =>
  size === 0
    ? new Uint8Array()
    : { size, open: () => createReadStream(path, { end: size - 1, highWaterMark: READ_BYTES }) };

/**
 * Whether trying a file again is in vain. A refusal that means something to the attempt is left to `untilAnswered`, and
 * while the coordinator is away everything waits. But when beats get through and the file fails all the same, it is the
 * file that fails: a disk over there is full, or a proxy between us cuts off what is large.
 */
const isHopeless = ({ link }: Deps, patience: Patience, error: unknown): boolean => {
  // A coordinator from before attachments.
  if (error instanceof ApiError && error.status === 404 && error.code !== null) return true;
  const refusal = readRefusal(error);
  if ((refusal !== 'retry' && refusal !== 'held') || !link.up) return false;
  if (link.beats > patience.beats) {
    patience.beats = link.beats;
    patience.strikes += 1;
  }
  return patience.strikes >= MAX_STRIKES;
};

/** Answers null when the coordinator has the file, else why it is given up; null as a whole on an abort. */
const sendFile = async (
  deps: Deps,
  attempt: Attempt,
  file: Found,
  patience: Patience,
  signal: AbortSignal,
): Promise<Answered<Error | null> | null> => {
  const { id, epoch } = attempt.record.task;
  const call = async (limited: AbortSignal): Promise<Error | null> => {
    try {
      const input = { params: { id }, query: { epoch, name: file.name }, body: bytesOf(file) };
      await deps.client.attachments.upload(input, { signal: limited });
      patience.strikes = 0;
      return null;
    } catch (error) {
      if (signal.aborted || !isHopeless(deps, patience, error)) throw error;
      return error as Error; // nothing else is thrown by a call
    }
  };
  return untilAnswered(deps, {
    what: `file "${file.name}" of ${attempt.key}`,
    deadline_ms: Math.min(TRY_MS + file.size / SLOWEST_BYTES_PER_MS, LONGEST_TRY_MS),
    signal,
    gate: deps.outbox.uploads,
    call,
  });
};

const sendFiles = async (
  deps: Deps,
  attempt: Attempt,
  files: readonly Found[],
  skip: Skip,
  signal: AbortSignal,
): Promise<void> => {
  const patience: Patience = { beats: deps.link.beats, strikes: 0 };
  let over: string | null = null;
  for (const file of files) {
    if (over !== null) {
      skip(file.name, over);
      continue;
    }
    const answer = await sendFile(deps, attempt, file, patience, signal);
    if (answer === null) return;
    deps.crash('attachment.sent');
    const error = answer.kind === 'answer' ? answer.value : answer.error;
    if (error === null) continue;
    const reason = error instanceof ApiError && error.code !== null ? error.message : describeError(error);
    skip(file.name, reason);
    // The lease is lost or the task is gone: what that means is left to the report.
    if (answer.kind === 'refusal' && answer.refusal !== 'refused') over = reason;
  }
};

const hasResult = async (attempt: Attempt): Promise<boolean> =>
  (attempt.intent === null || !unwanted.has(attempt.intent.kind)) && (await readExit(attempt)) !== null;

/**
 * Uploads what an executor that ended left in `attachments/` of its workdir. A file that is sent again replaces itself, so
 * an interrupted run begins again from the folder; the notes are written when all is settled, and then none of it is done
 * again.
 */
export const uploadAttachments = async (deps: Deps, attempt: Attempt, signal: AbortSignal): Promise<void> => {
  const { files, record } = attempt;
  if (attempt.notes !== null || !(await hasResult(attempt))) return;
  const notes = createNotes(deps, attempt);
  const found = await findFiles(files.attachments, notes.skip);
  await sendFiles(deps, attempt, found, notes.skip, signal);
  if (signal.aborted) return;
  let text = notes.text();
  if (found.length === 0 && text === '') return;
  if (text !== '') {
    const said = await captureOutput(files.stderr, record.max_log_bytes);
    if (said.text !== '' && !said.text.endsWith('\n')) text = `\n${text}`;
  }
  await writeDurable(files.attached, text);
  attempt.notes = text;
};
