import { exportFormats } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { openSession } from '../../session.ts';
import { saveBody } from '../../watch/save.ts';
import { examples, oneOf } from '../options.ts';
import { type FilterOptions, filterOptions, readFilters } from './filters.ts';

type Options = FilterOptions & { format?: (typeof exportFormats)[number]; out?: string };

export const addTasksExport = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('export').description('Save all tasks that match as JSON or CSV, newest first');
  examples(command, 'tasks export > tasks.json', 'tasks export --format csv --status done,failed --out ended.csv')
    .option('--format <format>', `${exportFormats.join(' or ')} (default json)`, oneOf(exportFormats))
    .option('--out <file>', 'write a new file instead of stdout');
  filterOptions(command).action(async ({ format, out, ...options }: Options, self: Command) => {
    const session = await openSession(cli, self);
    const query = { format, ...(await readFilters(session, options)) };
    await saveBody(session, () => session.client.tasks.exportAll({ query }, { signal: session.signal }), out ?? null);
  });
};
