import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { confirm } from '../../prompt.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { destroys, examples } from '../options.ts';

export const addTasksDelete = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('delete <task>')
    .description('Delete a task that is not running, with its attempts and logs');
  examples(destroys(command), 'tasks delete TASK-12', 'tasks delete 12 --yes').action(
    async (ref: string, _options: object, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      await confirm(cli, session.options, `This deletes TASK-${id} with its attempts and logs.`);
      await session.client.tasks.delete({ params: { id } });
      session.say(`Deleted TASK-${id}.`);
    },
  );
};
