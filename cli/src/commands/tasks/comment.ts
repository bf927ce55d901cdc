import { text as readAll } from 'node:stream/consumers';

import { CommentText } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { commentView } from '../../output/views/comment.ts';
import { taskId } from '../../resolve.ts';
import { checkInput, openSession } from '../../session.ts';
import { examples, mutates, wholeNumber } from '../options.ts';

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
      const text = checkInput(CommentText, given === '-' ? await readAll(cli.stdin) : given);
      const session = await openSession(cli, self);
      const body = { text, reply_to: replyTo };
      await session.out.one(
        commentView,
        await session.client.comments.create({ params: { id }, body }, session.creation()),
      );
    });
};
