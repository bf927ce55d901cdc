import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** Makes the names in a directory survive a power cut; a rename is only as durable as its directory. */
export const syncDir = async (path: string): Promise<void> => {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/** Writes and syncs a file in place; for directories that are renamed into view as a whole. */
export const writeSynced = async (path: string, data: string): Promise<void> => {
  const handle = await open(path, 'w', 0o600);
  try {
    await handle.writeFile(data);
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/** Replaces a file so that a reader, and the next start after a power cut, sees the old or the new one, never half. */
export const writeDurable = async (path: string, data: string): Promise<void> => {
  const temporary = `${path}.tmp`;
  await writeSynced(temporary, data);
  await rename(temporary, path);
  await syncDir(dirname(path));
};

/** The file's text, or null when there is none. */
export const readIfPresent = async (path: string): Promise<string | null> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
};

/** Removes a file and makes its absence durable. */
export const removeDurable = async (path: string): Promise<void> => {
  await rm(path, { force: true });
  await syncDir(dirname(path));
};

/** Creates a private directory unless it is there. */
export const makeDir = async (path: string): Promise<void> => {
  await mkdir(path, { recursive: true, mode: 0o700 });
};
