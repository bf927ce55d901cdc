import type { Command } from 'commander';

import { type Cli, say } from '../../cli.ts';
import { contextsPath } from '../../config.ts';
import { readContexts } from '../../contexts.ts';
import { CliError } from '../../exit.ts';
import { globalOptions, outputOf } from '../../session.ts';
import { examples } from '../options.ts';

export const addConfigCurrent = (config: Command, cli: Cli): void => {
  const command = config.command('current').description('Print the name of the current context');
  examples(command, 'config current').action(async (_options: object, self: Command) => {
    const { current, contexts } = await readContexts(contextsPath(cli.env), (line) => say(cli, line));
    if (current === null)
      throw new CliError('failed', 'No context is current.', {
        code: 'no_context',
        hint: 'Run `flotilla login` or `flotilla config use`.',
      });
    await outputOf(cli, globalOptions(self)).value(
      { name: current, url: contexts[current]?.url ?? null, current: true },
      () => current,
    );
  });
};
