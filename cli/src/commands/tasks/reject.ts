import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { taskView } from '../../output/views/task.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples, mutates } from '../options.ts';
import { readFeedback } from './feedback.ts';

export const addTasksReject = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('reject <task> <feedback>')
    .description('Send the work of a task in review back; the next attempt reads the feedback');
  examples(mutates(command), 'tasks reject TASK-12 "The tests are missing"', 'tasks reject 12 - < review.md').action(
    async (ref: string, given: string, _options: object, self: Command) => {
      const id = taskId(ref);
      const feedback = await readFeedback(cli, given);
      const session = await openSession(cli, self);
      const task = await session.client.reviews.reject({ params: { id }, body: { feedback } });
      await session.out.one(taskView, task);
      if (task.status === 'failed') session.say(`${task.ref} failed: it was rejected ${task.rejections} times.`);
    },
  );
};
