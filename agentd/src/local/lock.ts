import { link, rename, rm } from 'node:fs/promises';

import { z } from 'zod';

import type { Host } from '../host.ts';
import { processStart } from '../task/process.ts';
import { readIfPresent, writeSynced } from './files.ts';

const Holder = z.object({ pid: z.int(), start: z.string(), boot_id: z.string() });

/** Another agentd works on this state directory. */
export class LockedError extends Error {
  override name = 'LockedError';
}

const isAlive = async (raw: string, host: Host): Promise<z.infer<typeof Holder> | null> => {
  let json: unknown = null;
  try {
    json = JSON.parse(raw);
  } catch {
    // Half a lock is nobody's lock: it is written before it gets its name.
  }
  const holder = Holder.safeParse(json);
  if (!holder.success || holder.data.boot_id !== host.boot_id) return null;
  return (await processStart(holder.data.pid)) === holder.data.start ? holder.data : null;
};

/**
 * Takes the state directory for this process, or throws `LockedError`. The lock is a hard link to a finished file, so
 * it appears whole or not at all; a dead holder is recognised by pid, start time and boot, and its lock moved away.
 */
export const acquireLock = async (path: string, host: Host): Promise<{ release: () => Promise<void> }> => {
  const own = `${path}.${process.pid}`;
  const content = JSON.stringify({
    pid: process.pid,
    start: (await processStart(process.pid)) ?? '',
    boot_id: host.boot_id,
  });
  await writeSynced(own, content);
  try {
    for (;;) {
      try {
        await link(own, path);
        return { release: () => rm(path, { force: true }) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const seen = await readIfPresent(path);
      if (seen === null) continue;
      const holder = await isAlive(seen, host);
      if (holder !== null)
        throw new LockedError(
          `another agentd (pid ${holder.pid}) uses this state directory: stop it, or set FLOTILLA_STATE_DIR to another directory`,
        );
      await takeAway(path, `${own}.stale`, seen);
    }
  } finally {
    await rm(own, { force: true });
  }
};

const takeAway = async (path: string, aside: string, stale: string): Promise<void> => {
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return; // someone else was faster
    throw error;
  }
  // Between our look and our rename another start may have taken over: then this is its lock, and it goes back.
  if ((await readIfPresent(aside)) !== stale) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
};
