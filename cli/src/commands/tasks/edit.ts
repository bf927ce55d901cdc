import { PatchTask } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { usageError } from '../../exit.ts';
import { taskView } from '../../output/views/task.ts';
import { taskId } from '../../resolve.ts';
import { checkInput, openSession } from '../../session.ts';
import { examples, mutates, oneOf } from '../options.ts';
import { fieldOptions, type FieldOptions, readFields } from './fields.ts';

const movable = ['backlog', 'inbox', 'assigned', 'done', 'cancelled'] as const;
type Options = FieldOptions & { title?: string; status?: (typeof movable)[number] };

export const addTasksEdit = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('edit <task>')
    .description('Change fields of a task; refused when somebody else changed it meanwhile');
  examples(mutates(command), 'tasks edit TASK-12 --priority critical', 'tasks edit 12 --status inbox');
  fieldOptions(command)
    .option('--title <text>', 'a new title')
    .option('--status <status>', `move it: ${movable.join(', ')}`, oneOf(movable))
    .action(async (ref: string, { title, status, ...fields }: Options, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      const moved = { ...(title === undefined ? {} : { title }), ...(status === undefined ? {} : { status }) };
      const body = checkInput(PatchTask, { ...(await readFields(session, fields)), ...moved });
      if (Object.keys(body).length === 0)
        throw usageError('Nothing to change was given.', 'Add --help to see what can be changed.');
      const { version } = await session.client.tasks.get({ params: { id } });
      const headers = { 'if-match': `"${version}"` };
      await session.out.one(taskView, await session.client.tasks.patch({ params: { id }, body }, { headers }));
    });
};
