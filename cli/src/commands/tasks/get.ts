import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { taskView } from '../../output/views/task.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples } from '../options.ts';

export const addTasksGet = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('get <task>').description('Show a task, named like 12 or TASK-12');
  examples(command, 'tasks get TASK-12', 'tasks get 12 --json').action(
    async (ref: string, _options: object, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      await session.out.one(taskView, await session.client.tasks.get({ params: { id } }), 'details');
    },
  );
};
