import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples, mutates } from '../options.ts';
import { actOnTask } from './act.ts';

export const addTasksUnassign = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('unassign <task>').description('Give a task back to any agent');
  examples(mutates(command), 'tasks unassign TASK-12').action(
    actOnTask(cli, (session, id) => session.client.tasks.unassign({ params: { id } })),
  );
};
