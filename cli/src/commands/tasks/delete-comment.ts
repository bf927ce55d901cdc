import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { confirm } from '../../prompt.ts';
import { rowId, taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { destroys, examples } from '../options.ts';

export const addTasksDeleteComment = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('delete-comment <task> <comment>')
    .description(
      'Erase the text of a comment of yours (admins: of any); a task that waits for its answer goes on without',
    );
  examples(destroys(command), 'tasks delete-comment TASK-12 7', 'tasks delete-comment 12 7 --yes').action(
    async (ref: string, comment: string, _options: object, self: Command) => {
      const params = { id: taskId(ref), comment_id: rowId(comment, 'comment') };
      const what = `comment ${params.comment_id} of TASK-${params.id}`;
      const session = await openSession(cli, self);
      await confirm(cli, session.options, `This erases the text of ${what}.`);
      await session.client.comments.delete({ params });
      session.say(`Deleted ${what}.`);
    },
  );
};
