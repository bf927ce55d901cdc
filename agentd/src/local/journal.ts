import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { CompleteTask, FailTask } from '@flotilla/shared';
import { z } from 'zod';

import { makeDir, readIfPresent, syncDir, writeDurable, writeSynced } from './files.ts';
import { type AttemptPaths, attemptPaths, type StatePaths } from './paths.ts';

export const MomentFile = z.object({ boot_id: z.string(), uptime_ms: z.number(), wall_ms: z.number() });

/** `attempt.json`: what was claimed and how it will be run, fixed before anything is acted on. */
export const AttemptRecord = z.object({
  task: z.object({
    id: z.int(),
    ref: z.string(),
    kind: z.string(),
    title: z.string(),
    epoch: z.int(),
    attempt_id: z.int(),
    attempt: z.int(),
    lease_ms: z.int(),
    timeout_s: z.int(),
    executor: z.string().nullable(),
    model: z.string().nullable(),
    on_host_loss: z.string(),
    metadata: z.record(z.string(), z.unknown()),
  }),
  executor: z.string(),
  plan: z.object({
    argv: z.array(z.string()),
    stdin: z.enum(['prompt', 'empty']),
    env: z.record(z.string(), z.string()),
    env_file: z.string().optional(),
    files: z
      .array(z.object({ place: z.enum(['private', 'workdir']), name: z.string(), content: z.string() }))
      .optional(),
    timeout_grace_ms: z.int().optional(),
  }),
  max_log_bytes: z.int(),
  /** When the claim was sent: the lease began no earlier. */
  claimed_at: MomentFile,
});
export type AttemptRecord = z.infer<typeof AttemptRecord>;

export const intentKinds = [
  'cancelled',
  'timeout',
  'lost',
  'drain',
  'fence',
  'shim_lost',
  'host_restart',
  'spawn',
  'no_shim',
] as const;
export type IntentKind = (typeof intentKinds)[number];
/** `intent.json`: why this attempt ends by our hand. Written before the first signal, and the first one stays. */
export const Intent = z.object({
  kind: z.enum(intentKinds),
  at: MomentFile,
  grace_ms: z.int(),
  detail: z.string().optional(),
});
export type Intent = z.infer<typeof Intent>;

const UnclaimTask = z.object({
  epoch: z.int(),
  reason: z.string(),
  log_sizes: z.object({ stdout: z.int(), stderr: z.int() }).partial(),
});
/** `report.json`: the terminal report, sent from this file alone, so that every retry sends the same. */
export const Report = z.discriminatedUnion('verb', [
  z.object({ verb: z.literal('complete'), body: CompleteTask }),
  z.object({ verb: z.literal('fail'), body: FailTask }),
  z.object({ verb: z.literal('unclaim'), body: UnclaimTask }),
]);
export type Report = z.infer<typeof Report>;

/** The name of an attempt's directory; the epoch makes it unique for ever. */
export const attemptKey = (task: { id: number; epoch: number }): string => `${task.id}-${task.epoch}`;

/** Reads one JSON file by its schema; null when it is not there. A broken one throws: it was synced before it counted. */
export const readJsonFile = async <T extends z.ZodType>(path: string, schema: T): Promise<z.output<T> | null> => {
  const raw = await readIfPresent(path);
  return raw === null ? null : schema.parse(JSON.parse(raw));
};

/** Writes one JSON file so that it is there after a power cut. */
export const writeJsonFile = (path: string, value: unknown): Promise<void> =>
  writeDurable(path, `${JSON.stringify(value)}\n`);

/** Creates what is missing of the state directory and removes what a crash left half-made. */
export const openJournal = async (paths: StatePaths): Promise<void> => {
  for (const dir of [paths.root, paths.attempts, paths.work, paths.dead_letter]) await makeDir(dir);
  for (const name of await readdir(paths.attempts)) {
    if (name.endsWith('.new') || name.endsWith('.trash'))
      await rm(join(paths.attempts, name), { recursive: true, force: true });
  }
  await syncDir(paths.root);
};

export type NewAttempt = { record: AttemptRecord; prompt: string; token: string };

/** Writes down claimed tasks. Each directory gets its name when it is complete; one already there is left as it is. */
export const journalAttempts = async (paths: StatePaths, attempts: readonly NewAttempt[]): Promise<void> => {
  const known = new Set(await readdir(paths.attempts));
  for (const { record, prompt, token } of attempts) {
    const key = attemptKey(record.task);
    if (known.has(key)) continue;
    const files = attemptPaths(paths, `${key}.new`);
    await rm(files.dir, { recursive: true, force: true });
    await mkdir(files.tmp, { recursive: true, mode: 0o700 });
    await writeSynced(files.record, `${JSON.stringify(record)}\n`);
    await writeSynced(files.prompt, prompt);
    await writeSynced(files.token, token);
    await syncDir(files.dir);
    await rename(files.dir, attemptPaths(paths, key).dir);
  }
  await syncDir(paths.attempts);
};

export type FoundAttempt = {
  key: string;
  files: AttemptPaths;
  record: AttemptRecord;
  intent: Intent | null;
  /** What is added to its log about files that were not attached; null until the uploads are over. */
  notes: string | null;
  report: Report | null;
  acked: boolean;
};

/** Reads one attempt's directory. */
export const readAttempt = async (paths: StatePaths, key: string): Promise<FoundAttempt | null> => {
  const files = attemptPaths(paths, key);
  const record = await readJsonFile(files.record, AttemptRecord);
  if (record === null) return null;
  const intent = await readJsonFile(files.intent, Intent);
  const notes = await readIfPresent(files.attached);
  const report = await readJsonFile(files.report, Report);
  return { key, files, record, intent, notes, report, acked: (await readIfPresent(files.acked)) !== null };
};

/**
 * Reads every attempt on disk. A directory that cannot be read is moved to the dead letters: it must neither stop the
 * others nor be lost.
 */
export const readAttempts = async (
  paths: StatePaths,
  onBroken: (key: string, error: unknown) => void,
): Promise<FoundAttempt[]> => {
  const found: FoundAttempt[] = [];
  for (const key of (await readdir(paths.attempts)).toSorted()) {
    try {
      const attempt = await readAttempt(paths, key);
      if (attempt !== null) found.push(attempt);
    } catch (error) {
      onBroken(key, error);
      await rename(join(paths.attempts, key), join(paths.dead_letter, `${key}.broken`));
    }
  }
  return found;
};

/** Removes a finished attempt in one step that a crash cannot halve, then its files. */
export const trashAttempt = async (files: AttemptPaths): Promise<string> => {
  const trash = `${files.dir}.trash`;
  await rename(files.dir, trash);
  return trash;
};
