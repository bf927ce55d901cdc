import { priorities, type Priority, type TaskStatus, taskStatuses } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { taskView } from '../../output/views/task.ts';
import { agentName } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { printPages } from '../list.ts';
import { examples, type PageOptions, pages, someOf } from '../options.ts';

type Options = PageOptions & {
  status?: TaskStatus[];
  priority?: Priority[];
  assignedTo?: string;
  claimedBy?: string;
  tag?: string;
  search?: string;
};

export const addTasksList = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('list').description('List tasks, newest first');
  examples(
    command,
    'tasks list --status inbox,assigned',
    'tasks list --claimed-by scout -o wide',
    'tasks list --search \'deploy "disk full" -staging\'',
    'tasks list --status failed --all -o name | xargs -n1 flotilla tasks retry',
  )
    .option('--status <statuses>', `some of ${taskStatuses.join(', ')}`, someOf(taskStatuses))
    .option('--priority <priorities>', `some of ${priorities.join(', ')}`, someOf(priorities))
    .option('--assigned-to <agent>', 'assigned to this agent')
    .option('--claimed-by <agent>', 'being worked on by this agent')
    .option('--tag <tag>', 'with this label')
    .option('--search <words>', 'with these words in title, description or comments, best first');
  pages(command).action(async (options: Options, self: Command) => {
    const session = await openSession(cli, self);
    const filters = {
      status: options.status?.join(','),
      priority: options.priority?.join(','),
      assigned_to: options.assignedTo === undefined ? undefined : await agentName(session, options.assignedTo),
      claimed_by: options.claimedBy === undefined ? undefined : await agentName(session, options.claimedBy),
      tag: options.tag,
      search: options.search,
    };
    await printPages(session, 'tasks', taskView, options, async (page) => {
      const { tasks: rows, next_cursor } = await session.client.tasks.list({ query: { ...page, ...filters } });
      return { rows, next_cursor };
    });
  });
};
