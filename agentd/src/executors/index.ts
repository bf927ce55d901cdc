import type { Config } from '../config.ts';
import type { StatePaths } from '../local/paths.ts';
import { createCommandExecutor, interpretCommand } from './command.ts';
import type { Executor, Interpret } from './executor.ts';
import { findOpenClaw } from './openclaw/find.ts';
import { interpretOpenClaw } from './openclaw/interpret.ts';
import { createOpenClawExecutor } from './openclaw/prepare.ts';

/** The executor this host is configured for. Throws `ConfigError` when what it needs is not there. */
export const openExecutor = async (config: Config, paths: StatePaths): Promise<Executor> =>
  config.openclaw === null
    ? createCommandExecutor(config.command)
    : createOpenClawExecutor(await findOpenClaw(config.openclaw, config.task_env), paths.compile_cache);

const interpreters: Record<string, Interpret> = { command: interpretCommand, openclaw: interpretOpenClaw };

/** The reading that belongs to the executor an attempt was prepared for, whatever this host is configured for by now. */
export const interpreterOf = (executor: string): Interpret => {
  const interpret = interpreters[executor];
  if (interpret === undefined) throw new Error(`this agentd does not know the executor "${executor}"`);
  return interpret;
};
