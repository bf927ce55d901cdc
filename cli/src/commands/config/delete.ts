import type { Command } from 'commander';

import { type Cli, say } from '../../cli.ts';
import { contextsPath } from '../../config.ts';
import { readContexts, writeContexts } from '../../contexts.ts';
import { usageError } from '../../exit.ts';
import { confirm } from '../../prompt.ts';
import { globalOptions } from '../../session.ts';
import { examples } from '../options.ts';

export const addConfigDelete = (config: Command, cli: Cli): void => {
  const command = config
    .command('delete <context>')
    .description('Forget a context and its token; the token itself stays valid');
  examples(command.option('-y, --yes', 'do not ask'), 'config delete old --yes').action(
    async (name: string, _options: object, self: Command) => {
      const path = contextsPath(cli.env);
      const file = await readContexts(path, (line) => say(cli, line));
      if (!Object.hasOwn(file.contexts, name))
        throw usageError(`There is no context "${name}".`, 'See `flotilla config list`.');
      await confirm(cli, globalOptions(self), `This forgets context "${name}" and its token.`);
      const { [name]: _gone, ...contexts } = file.contexts;
      await writeContexts(path, { current: file.current === name ? null : file.current, contexts });
      say(cli, `Forgot context "${name}".`);
    },
  );
};
