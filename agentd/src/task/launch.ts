import { link, rm } from 'node:fs/promises';

import { momentNow } from '../clock.ts';
import { ConfigError } from '../config.ts';
import type { Deps } from '../deps.ts';
import { findCommand } from '../local/command.ts';
import { readEnvFile } from '../local/env-file.ts';
import { writeSynced } from '../local/files.ts';
import { MomentFile, readJsonFile, writeJsonFile } from '../local/journal.ts';
import { type Attempt, requestStop } from './attempt.ts';
import { readShimPid, spawnShim } from './shim.ts';
import { makeWorkdir, taskEnv } from './workspace.ts';

export type Launched = { ended: Promise<Error | null> };

/** `launch.json`: when this attempt was first about to be started; its timeout counts from here. */
export const readLaunch = ({ files }: Attempt) => readJsonFile(files.launch, MomentFile);

/** What the plan's env file holds by now, or the sentence that says why it cannot be used any more. */
const readSecrets = async ({ record }: Attempt): Promise<Record<string, string> | string> => {
  try {
    return record.plan.env_file === undefined ? {} : await readEnvFile(record.plan.env_file);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
};

/**
 * Starts the attempt unless its shim is there already. A crash between here and the shim's first act starts a second
 * shim at the next start; `shim.pid` admits one of them.
 */
export const launchAttempt = async (deps: Deps, attempt: Attempt): Promise<Launched | null> => {
  const { files, record, mark } = attempt;
  if ((await readShimPid(files)) !== null) return null;
  await makeWorkdir(attempt);
  const secrets = await readSecrets(attempt);
  if (typeof secrets === 'string') {
    await requestStop(deps, attempt, 'spawn', { detail: secrets });
    return null;
  }
  const env = taskEnv(deps, attempt, secrets);
  const [command = ''] = record.plan.argv;
  if ((await findCommand(command, env.PATH ?? '', files.workdir)) === null) {
    await requestStop(deps, attempt, 'spawn', {
      detail: `The command "${command}" is not there or not executable on this host.`,
    });
    return null;
  }
  const launch = await readLaunch(attempt);
  if (launch !== null && launch.boot_id !== deps.host.boot_id) {
    await requestStop(deps, attempt, 'host_restart');
    return null;
  }
  if (launch === null) await writeJsonFile(files.launch, momentNow(deps.clock, deps.host.boot_id));
  deps.crash('attempt.prepared');
  const input = record.plan.stdin === 'prompt' ? files.prompt : '/dev/null';
  const launched = await spawnShim({ shim: deps.paths.shim, files, input, mark, argv: record.plan.argv, env });
  deps.crash('shim.spawned');
  return launched;
};

/**
 * Makes sure that no shim of this attempt can start any more: takes its place when none has. False when there is one.
 */
export const preventLaunch = async ({ files }: Attempt): Promise<boolean> => {
  const own = `${files.shim_pid}.agentd`;
  await writeSynced(own, '0 never\n');
  try {
    await link(own, files.shim_pid);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(own, { force: true });
  }
};
