import type { Command } from 'commander';

import { type Cli, say } from '../../cli.ts';
import { contextsPath } from '../../config.ts';
import { readContexts } from '../../contexts.ts';
import type { View } from '../../output/view.ts';
import { globalOptions, outputOf } from '../../session.ts';
import { examples } from '../options.ts';

type Row = { name: string; url: string; current: boolean };

const contextView: View<Row> = {
  plural: 'contexts',
  name: (row) => row.name,
  columns: [
    { head: 'CURRENT', cell: (row) => (row.current ? '*' : '') },
    { head: 'NAME', cell: (row) => row.name },
    { head: 'URL', cell: (row) => row.url },
  ],
};

export const addConfigList = (config: Command, cli: Cli): void => {
  const command = config.command('list').description('List the contexts; never their tokens');
  examples(command, 'config list').action(async (_options: object, self: Command) => {
    const file = await readContexts(contextsPath(cli.env), (line) => say(cli, line));
    const rows = Object.entries(file.contexts).map(([name, { url }]) => ({
      name,
      url,
      current: name === file.current,
    }));
    await outputOf(cli, globalOptions(self)).list(contextView, rows, { contexts: rows, next_cursor: null });
  });
};
