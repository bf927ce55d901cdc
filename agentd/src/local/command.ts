import { existsSync } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';

const isExecutable = async (path: string): Promise<boolean> => {
  if (!existsSync(path) || !(await stat(path)).isFile()) return false;
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
};

/** Every file that a command may mean: found in PATH, in its order, or by its own path. */
export const findCommands = async (command: string, path: string, workdir: string): Promise<string[]> => {
  const candidates = command.includes('/')
    ? [isAbsolute(command) ? command : resolve(workdir, command)]
    : path.split(':').map((dir) => join(dir === '' ? workdir : dir, command));
  const found: string[] = [];
  for (const candidate of candidates) if (await isExecutable(candidate)) found.push(candidate);
  return found;
};

/** The file that is started for a command; null when there is none. */
export const findCommand = async (command: string, path: string, workdir: string): Promise<string | null> =>
  (await findCommands(command, path, workdir))[0] ?? null;
