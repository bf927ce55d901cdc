import type { Config } from '../config.ts';
import { createCommandExecutor } from './command.ts';
import type { Executor } from './executor.ts';

/** The executor this host is configured for. */
export const createExecutor = (config: Config): Executor => createCommandExecutor(config.command);
