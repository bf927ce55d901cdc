import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { commentThread } from '../../output/views/comment.ts';
import { taskView } from '../../output/views/task.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples } from '../options.ts';

/** More than this is what `tasks activity` is for. */
const COMMENTS = 20;

export const addTasksGet = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('get <task>')
    .description('Show a task, named like 12 or TASK-12, and its newest comments');
  examples(command, 'tasks get TASK-12', 'tasks get 12 --json').action(
    async (ref: string, _options: object, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      await session.out.one(taskView, await session.client.tasks.get({ params: { id } }), 'details');
      if (session.out.format !== 'table' && session.out.format !== 'wide') return;
      const { comments, next_cursor } = await session.client.comments.list({
        params: { id },
        query: { limit: COMMENTS },
      });
      if (comments.length > 0) session.out.text(commentThread(comments, next_cursor !== null, cli));
    },
  );
};
