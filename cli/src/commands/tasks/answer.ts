import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { CliError } from '../../exit.ts';
import { commentView } from '../../output/views/comment.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples, mutates } from '../options.ts';
import { readFeedback } from './feedback.ts';

export const addTasksAnswer = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('answer <task> <text>')
    .description('Answer the question that a task waits with; the next attempt reads both');
  examples(mutates(command), 'tasks answer TASK-12 "Yes, in blue"', 'tasks answer 12 - < answer.md').action(
    async (ref: string, given: string, _options: object, self: Command) => {
      const id = taskId(ref);
      const text = await readFeedback(cli, given);
      const session = await openSession(cli, self);
      const task = await session.client.tasks.get({ params: { id } });
      if (task.asked_comment_id === null)
        throw new CliError('conflict', `${task.ref} asks nothing: ${task.status_sentence}`, {
          hint: 'flotilla tasks comment says something about it all the same',
        });
      const body = { text, reply_to: task.asked_comment_id };
      await session.out.one(
        commentView,
        await session.client.comments.create({ params: { id }, body }, session.creation()),
      );
    },
  );
};
