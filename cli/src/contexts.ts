import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { z } from 'zod';

import { CliError } from './exit.ts';

const Context = z.object({ url: z.url(), token: z.string().min(1) });
const ContextFile = z.object({ current: z.string().nullable(), contexts: z.record(z.string(), Context) });
export type ContextFile = z.infer<typeof ContextFile>;

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** Reads the contexts; `warn` is told when other users of the machine could read the tokens. */
export const readContexts = async (path: string, warn: (line: string) => void): Promise<ContextFile> => {
  let raw: string;
  try {
    raw = await readFile(path, 'utf8');
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0 && process.platform !== 'win32')
      warn(`Warning: others can read ${path}; run: chmod 600 ${path}`);
  } catch (error) {
    if (isMissing(error)) return { current: null, contexts: {} };
    throw new CliError('failed', `Cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(raw);
  } catch {
    json = null;
  }
  const parsed = ContextFile.safeParse(json);
  if (!parsed.success) {
    throw new CliError('failed', `${path} is not a file of contexts.`, {
      hint: 'Move it away and run `flotilla login` again.',
    });
  }
  return parsed.data;
};

/** Written beside and renamed over: a crash leaves the old file or the new one, never half of one. */
export const writeContexts = async (path: string, file: ContextFile): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const beside = `${path}.${randomUUID()}`;
  try {
    const handle = await open(beside, 'wx', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(file, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
};
