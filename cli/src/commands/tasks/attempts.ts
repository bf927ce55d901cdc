import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { attemptView } from '../../output/views/task.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { printPages } from '../list.ts';
import { examples, type PageOptions, pages } from '../options.ts';

export const addTasksAttempts = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('attempts <task>').description('List the attempts of a task, newest first');
  examples(pages(command), 'tasks attempts TASK-12', 'tasks attempts 12 --json').action(
    async (ref: string, options: PageOptions, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      await printPages(session, 'attempts', attemptView, options, async (query) => {
        const { attempts: rows, next_cursor } = await session.client.tasks.attempts({ params: { id }, query });
        return { rows, next_cursor };
      });
    },
  );
};
