import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Cli } from '../../cli.ts';
import { CliError, exitCodes, ProgramFailed } from '../../exit.ts';

/** Beside the bundle of this program, in a clone as in an installation. */
const BESIDE = fileURLToPath(new URL('../../coordinator', import.meta.url));

/**
 * Runs the coordinator's own program for its database, with our terminal and our environment. Not over the API: a
 * restore needs a coordinator that is stopped.
 */
export const runAdmin = async (cli: Cli, args: string[]): Promise<void> => {
  const program = join(cli.env.coordinator_dir ?? BESIDE, 'dist/admin.js');
  if (!existsSync(program)) {
    throw new CliError('failed', `The coordinator is not installed here: there is no ${program}.`, {
      code: 'no_coordinator',
      hint: 'Run this on the machine of the coordinator, or set FLOTILLA_COORDINATOR_DIR to the directory that holds dist/admin.js.',
    });
  }
  const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit' });
  // A terminal sends Ctrl-C to both; a signal to us alone is passed on. Then it may clean up, and we wait.
  const interrupt = () => void child.kill('SIGINT');
  cli.signal.addEventListener('abort', interrupt, { once: true });
  const [code] = await once(child, 'exit');
  cli.signal.removeEventListener('abort', interrupt);
  if (code !== 0) throw new ProgramFailed(typeof code === 'number' ? code : exitCodes.failed);
};
