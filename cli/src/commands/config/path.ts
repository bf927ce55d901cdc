import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { contextsPath } from '../../config.ts';
import { globalOptions, outputOf } from '../../session.ts';
import { examples } from '../options.ts';

export const addConfigPath = (config: Command, cli: Cli): void => {
  const command = config.command('path').description('Print where the contexts are stored');
  examples(command, 'config path').action(async (_options: object, self: Command) => {
    const path = contextsPath(cli.env);
    await outputOf(cli, globalOptions(self)).value({ path }, () => path);
  });
};
