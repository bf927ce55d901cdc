import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { reviewView } from '../../output/views/review.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { printPages } from '../list.ts';
import { examples, type PageOptions, pages } from '../options.ts';

export const addTasksReviews = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('reviews <task>').description('List the verdicts on a task, newest first');
  examples(pages(command), 'tasks reviews TASK-12').action(async (ref: string, options: PageOptions, self: Command) => {
    const id = taskId(ref);
    const session = await openSession(cli, self);
    await printPages(session, 'reviews', reviewView, options, async (query) => {
      const { reviews: rows, next_cursor } = await session.client.reviews.list({ params: { id }, query });
      return { rows, next_cursor };
    });
  });
};
