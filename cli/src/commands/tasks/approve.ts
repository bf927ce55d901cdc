import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples, mutates } from '../options.ts';
import { actOnTask } from './act.ts';
import { readFeedback } from './feedback.ts';

export const addTasksApprove = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('approve <task>').description('Accept the work of a task in review: it is done');
  examples(mutates(command), 'tasks approve TASK-12', 'tasks approve 12 --feedback "Well done"')
    .option('--feedback <text>', 'what to say about it; - reads it from stdin')
    .action(
      actOnTask(cli, async (session, id, { feedback }: { feedback?: string }) => {
        const body = feedback === undefined ? {} : { feedback: await readFeedback(cli, feedback) };
        return session.client.reviews.approve({ params: { id }, body });
      }),
    );
};
