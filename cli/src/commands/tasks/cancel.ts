import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples, mutates } from '../options.ts';
import { actOnTask } from './act.ts';

export const addTasksCancel = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('cancel <task>')
    .description('Cancel a task; of a running one the agent is asked to stop');
  examples(mutates(command), 'tasks cancel TASK-12 --reason "no longer needed"')
    .option('--reason <text>', 'why, for the audit and for others')
    .action(
      actOnTask(cli, async (session, id, { reason }: { reason?: string }) => {
        const task = await session.client.tasks.cancel({ params: { id }, body: { reason } });
        if (task.status === 'in_progress')
          session.say(`${task.ref} is asked to stop; what its agent reports first counts.`);
        return task;
      }),
    );
};
