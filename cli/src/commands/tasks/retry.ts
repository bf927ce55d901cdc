import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples, mutates } from '../options.ts';
import { actOnTask } from './act.ts';

export const addTasksRetry = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('retry <task>').description('Queue an ended task again; all its counters start anew');
  examples(mutates(command), 'tasks retry TASK-12').action(
    actOnTask(cli, (session, id) => session.client.tasks.retry({ params: { id } })),
  );
};
