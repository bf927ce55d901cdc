import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { taskView } from '../../output/views/task.ts';
import { openSession } from '../../session.ts';
import { printPages } from '../list.ts';
import { examples, type PageOptions, pages } from '../options.ts';
import { type FilterOptions, filterOptions, readFilters } from './filters.ts';

export const addTasksList = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('list').description('List tasks, newest first; with --search the best matches first');
  examples(
    command,
    'tasks list --status inbox,assigned',
    'tasks list --claimed-by scout -o wide',
    'tasks list --search \'deploy "disk full" -staging\'',
    'tasks list --status failed --all -o name | xargs -n1 flotilla tasks retry',
  );
  pages(filterOptions(command)).action(async (options: PageOptions & FilterOptions, self: Command) => {
    const session = await openSession(cli, self);
    const filters = await readFilters(session, options);
    await printPages(session, 'tasks', taskView, options, async (page) => {
      const { tasks: rows, next_cursor } = await session.client.tasks.list({ query: { ...page, ...filters } });
      return { rows, next_cursor };
    });
  });
};
