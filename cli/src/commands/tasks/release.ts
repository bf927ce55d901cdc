import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples, mutates } from '../options.ts';
import { actOnTask } from './act.ts';

export const addTasksRelease = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('release <task>')
    .description('Take a running task away from an agent that is gone, and queue it again');
  examples(mutates(command), 'tasks release TASK-12').action(
    actOnTask(cli, (session, id) => session.client.tasks.release({ params: { id } })),
  );
};
