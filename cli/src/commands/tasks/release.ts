import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples, mutates } from '../options.ts';
import { actOnTask } from './act.ts';

export const addTasksRelease = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('release <task>')
    .description('Take a running task from an agent that is gone and queue it again; one on hold for its host fails');
  examples(mutates(command), 'tasks release TASK-12').action(
    actOnTask(cli, async (session, id) => {
      const task = await session.client.tasks.release({ params: { id } });
      if (task.status === 'failed')
        session.say(`${task.ref} was on hold for its host, so it failed; \`flotilla tasks retry\` runs it again.`);
      return task;
    }),
  );
};
