import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ADMIN_TOKEN, type Coordinator, requireBundle } from './coordinator.ts';

const MAIN = join(import.meta.dirname, '../../cli/dist/main.js');

/** Runs `flotilla` as the admin of the first workspace, at home in `dir`, and answers its stdout; throws unless it exits with 0. */
export const runFlotilla = async (
  { coordinator, dir }: { coordinator: Coordinator; dir: string },
  args: readonly string[],
): Promise<string> => {
  requireBundle(MAIN, 'cli');
  const { PATH = '' } = process.env;
  const env = { PATH, HOME: dir, FLOTILLA_URL: coordinator.url, FLOTILLA_TOKEN: ADMIN_TOKEN };
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args], { env, timeout: 30_000 });
  return stdout;
};
