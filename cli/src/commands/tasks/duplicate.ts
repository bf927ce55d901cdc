import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples, mutates } from '../options.ts';
import { actOnTask } from './act.ts';

type Options = { title?: string; backlog?: boolean };

export const addTasksDuplicate = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('duplicate <task>')
    .description('Create a task with the same content and demands, and nothing of its history');
  examples(mutates(command), 'tasks duplicate TASK-12', 'tasks duplicate 12 --title "Once more" --backlog')
    .option('--title <text>', 'another title')
    .option('--backlog', 'park it; nobody gets it until it is moved to the inbox')
    .action(
      actOnTask(cli, (session, id, { title, backlog }: Options) => {
        const status = backlog === true ? ({ status: 'backlog' } as const) : {};
        const body = { ...(title === undefined ? {} : { title }), ...status };
        return session.client.tasks.duplicate({ params: { id }, body }, session.creation());
      }),
    );
};
