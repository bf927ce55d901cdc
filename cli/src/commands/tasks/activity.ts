import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { activityView } from '../../output/views/activity.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { printPages } from '../list.ts';
import { examples, type PageOptions, pages } from '../options.ts';

export const addTasksActivity = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('activity <task>')
    .description('Tell what happened to a task: acts, attempts and comments, oldest first');
  examples(pages(command), 'tasks activity TASK-12', 'tasks activity 12 --latest --limit 5')
    .option('--latest', 'newest first')
    .action(async (ref: string, { latest, ...options }: PageOptions & { latest?: boolean }, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      const order = latest === true ? ('desc' as const) : undefined;
      await printPages(session, 'activity', activityView, options, async (page) => {
        const query = order === undefined ? page : { ...page, order };
        const { activity: rows, next_cursor } = await session.client.tasks.activity({ params: { id }, query });
        return { rows, next_cursor };
      });
    });
};
