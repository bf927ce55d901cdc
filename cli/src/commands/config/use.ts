import type { Command } from 'commander';

import { type Cli, say } from '../../cli.ts';
import { contextsPath } from '../../config.ts';
import { readContexts, writeContexts } from '../../contexts.ts';
import { usageError } from '../../exit.ts';
import { examples } from '../options.ts';

export const addConfigUse = (config: Command, cli: Cli): void => {
  examples(config.command('use <context>').description('Make a context the current one'), 'config use prod').action(
    async (name: string) => {
      const path = contextsPath(cli.env);
      const file = await readContexts(path, (line) => say(cli, line));
      const context = Object.hasOwn(file.contexts, name) ? file.contexts[name] : undefined;
      if (context === undefined) {
        const known = Object.keys(file.contexts);
        throw usageError(
          `There is no context "${name}".`,
          known.length === 0 ? 'Make one with `flotilla login`.' : `There are: ${known.join(', ')}.`,
        );
      }
      await writeContexts(path, { ...file, current: name });
      say(cli, `Now talking to ${context.url} (context "${name}").`);
    },
  );
};
