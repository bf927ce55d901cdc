import { readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Deps } from '../deps.ts';
import { makeDir } from '../local/files.ts';
import type { Attempt } from './attempt.ts';

/** Creates the directories an attempt works in and the files its plan asks for. */
export const makeWorkdir = async ({ files, record }: Attempt): Promise<void> => {
  for (const dir of [files.workdir, files.attachments, files.tmp, files.private]) await makeDir(dir);
  for (const { place, name, content } of record.plan.files ?? []) {
    const path = join(files[place], name);
    // Not synced, but never half: after a crash a shim that we do not know of yet may be reading it.
    await writeFile(`${path}.tmp`, content, { mode: 0o600 });
    await rename(`${path}.tmp`, path);
  }
};

/**
 * The environment of an attempt: an allowlist, its own coordinates, and no credential but the path of its own token.
 * The shim adds FLOTILLA_ATTEMPT to the executor alone, so that its own processes can be told apart. `secrets` are what
 * the executor's program needs of this host; they are in no file of ours.
 */
export const taskEnv = (
  { config }: Deps,
  { files, record }: Attempt,
  secrets: Record<string, string>,
): Record<string, string> => ({
  ...config.task_env,
  ...secrets,
  ...record.plan.env,
  TMPDIR: files.tmp,
  FLOTILLA_URL: config.url,
  FLOTILLA_TASK_ID: String(record.task.id),
  FLOTILLA_TASK_REF: record.task.ref,
  FLOTILLA_EPOCH: String(record.task.epoch),
  FLOTILLA_TOKEN_FILE: files.token,
  FLOTILLA_WORKDIR: files.workdir,
  FLOTILLA_ATTACHMENTS: files.attachments,
});

/** Starts the retention of a workdir: its modification time says when its attempt ended. */
export const releaseWorkdir = async ({ files }: Attempt): Promise<void> => {
  const now = new Date();
  await utimes(files.workdir, now, now).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error; // never started, or removed by its own task
  });
};

/** Removes workdirs whose attempt ended longer ago than the retention. */
export const sweepWorkdirs = async ({ paths, attempts, config, clock, log }: Deps): Promise<void> => {
  const held = new Set(await readdir(paths.attempts));
  for (const key of await readdir(paths.work)) {
    if (held.has(key) || attempts.has(key)) continue;
    const path = join(paths.work, key);
    const { mtimeMs } = await stat(path);
    if (clock.wall_ms() - mtimeMs < config.workdir_retention_ms) continue;
    await rm(path, { recursive: true, force: true });
    log.debug({ workdir: key }, 'removed a workdir past its retention');
  }
};
