import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { commentView } from '../../output/views/comment.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples, mutates, wholeNumber } from '../options.ts';
import { readFeedback } from './feedback.ts';

export const addTasksComment = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('comment <task> <text>')
    .description('Say something about a task; @agent gives it to that agent when it is unassigned');
  examples(
    mutates(command),
    'tasks comment TASK-12 "@scout please look at this one"',
    'tasks comment 12 --reply-to 7 - < answer.md',
  )
    .option('--reply-to <comment>', 'the number of the comment that this answers', wholeNumber(1))
    .action(async (ref: string, given: string, { replyTo }: { replyTo?: number }, self: Command) => {
      const id = taskId(ref);
      const text = await readFeedback(cli, given);
      const session = await openSession(cli, self);
      const body = { text, reply_to: replyTo };
      await session.out.one(
        commentView,
        await session.client.comments.create({ params: { id }, body }, session.creation()),
      );
    });
};
