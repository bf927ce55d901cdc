import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { attachmentView } from '../../output/views/attachment.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { printPages } from '../list.ts';
import { examples, type PageOptions, pages } from '../options.ts';

export const addTasksAttachments = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('attachments <task>').description('List the files left with the results of a task');
  examples(pages(command), 'tasks attachments TASK-12').action(
    async (ref: string, options: PageOptions, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      await printPages(session, 'attachments', attachmentView, options, async (query) => {
        const { attachments: rows, next_cursor } = await session.client.attachments.list({ params: { id }, query });
        return { rows, next_cursor };
      });
    },
  );
};
