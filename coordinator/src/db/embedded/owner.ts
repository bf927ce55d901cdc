import { randomBytes } from 'node:crypto';
import { linkSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { EmbeddedPostgresError, errorCode, fileSystemError } from './error.ts';
import { isRunning, ownIdentity } from './process-table.ts';

export type Ownership = {
  /** The pid of a previous owner that ended without releasing the directory (0 if its lock was unreadable), else null. */
  crashed_pid: number | null;
  release(): void;
};

const PREFIX = 'coordinator.lock.';
const ATTEMPTS = 50;

const LockContent = z.object({
  pid: z.number(),
  start_time: z.string().nullable(),
  boot_id: z.string().nullable(),
  released: z.boolean(),
});
type LockContent = z.infer<typeof LockContent>;

/**
 * Makes this process the only owner of a data directory, or throws with the pid of the live owner.
 *
 * The owner is whoever holds the highest number. A stale lock is never removed to be replaced: two starters could
 * both find it stale, and the slower would remove the lock of the faster. Instead one of them links the next number,
 * which only one can. Numbers never go back (a release keeps its file), so a latecomer always sees that it lost.
 */
export function claimDataDirectory(data_dir: string): Ownership {
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const ownership = tryToClaim(data_dir);
      if (ownership !== null) return ownership;
    }
  } catch (error) {
    throw fileSystemError('write in the data directory', data_dir, error);
  }
  const message = `Too many coordinators are starting at once on the data directory ${data_dir}.`;
  throw new EmbeddedPostgresError(message, 'Start one coordinator per data directory.');
}

/** The pid of the coordinator that has this data directory right now, or null. */
export function liveOwner(data_dir: string): number | null {
  const newest = Math.max(0, ...listNumbers(data_dir));
  const content = newest === 0 ? null : readLock(data_dir, newest);
  // Gone: replaced in this moment, so somebody is starting; the next look tells.
  if (content === 'gone') return liveOwner(data_dir);
  return content !== null && !content.released && isRunning(content) ? content.pid : null;
}

function tryToClaim(data_dir: string): Ownership | null {
  const newest = Math.max(0, ...listNumbers(data_dir));
  const content = newest === 0 ? null : readLock(data_dir, newest);
  if (content === 'gone') return null;
  if (content !== null && !content.released && isRunning(content)) throw inUse(data_dir, content.pid);
  const mine = newest + 1;
  if (!placeLock(data_dir, mine)) return null;
  const numbers = listNumbers(data_dir);
  if (numbers.some((number) => number > mine)) {
    rmSync(lockPath(data_dir, mine), { force: true });
    return null;
  }
  for (const number of numbers) if (number < mine) rmSync(lockPath(data_dir, number), { force: true });
  removeDrafts(data_dir);
  return {
    crashed_pid: content !== null && !content.released ? content.pid : null,
    release: () => releaseLock(data_dir, mine),
  };
}

function inUse(data_dir: string, pid: number): EmbeddedPostgresError {
  const hint = `Stop it first (kill ${pid}), or give this one its own directory with FLOTILLA_DATA_DIR.`;
  return new EmbeddedPostgresError(`Another coordinator (pid ${pid}) uses this data directory: ${data_dir}.`, hint);
}

function listNumbers(data_dir: string): number[] {
  const names = readdirSync(data_dir).filter((name) => name.startsWith(PREFIX));
  return names
    .map((name) => name.slice(PREFIX.length))
    .filter((rest) => /^\d+$/.test(rest))
    .map(Number);
}

function lockPath(data_dir: string, number: number): string {
  return join(data_dir, `${PREFIX}${number}`);
}

/** A lock that a power cut left empty reads as one whose owner is gone. */
function readLock(data_dir: string, number: number): LockContent | 'gone' {
  let text: string;
  try {
    text = readFileSync(lockPath(data_dir, number), 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 'gone';
    throw error;
  }
  try {
    return LockContent.parse(JSON.parse(text));
  } catch {
    return { pid: 0, start_time: null, boot_id: null, released: false };
  }
}

function writeDraft(data_dir: string, released: boolean): string {
  const draft = join(data_dir, `${PREFIX}draft-${randomBytes(6).toString('hex')}`);
  const content: LockContent = { ...ownIdentity(), released };
  writeFileSync(draft, `${JSON.stringify(content)}\n`, { flag: 'wx', mode: 0o644 });
  return draft;
}

/** Written aside and linked into place, so that nobody ever reads half a lock. */
function placeLock(data_dir: string, number: number): boolean {
  const draft = writeDraft(data_dir, false);
  try {
    linkSync(draft, lockPath(data_dir, number));
    return true;
  } catch (error) {
    // ENOENT: the winner of this moment swept our draft away.
    if (['EEXIST', 'ENOENT'].includes(errorCode(error))) return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function removeDrafts(data_dir: string): void {
  for (const name of readdirSync(data_dir)) {
    if (name.startsWith(`${PREFIX}draft-`)) rmSync(join(data_dir, name), { force: true });
  }
}

function releaseLock(data_dir: string, number: number): void {
  try {
    renameSync(writeDraft(data_dir, true), lockPath(data_dir, number));
  } catch {
    // On a full disk an emptied lock is as good; if the directory was deleted under us there is nothing to release.
    emptyLock(lockPath(data_dir, number));
  }
}

function emptyLock(path: string): void {
  try {
    truncateSync(path);
  } catch {
    // The lock goes stale with this process instead.
  }
}
