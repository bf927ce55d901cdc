import { priorities, type Priority, type TaskStatus, taskStatuses } from '@flotilla/shared';
import type { Command } from 'commander';

import { agentName } from '../../resolve.ts';
import type { Session } from '../../session.ts';
import { someOf } from '../options.ts';

/** Which tasks `list` and `export` are about. */
export type FilterOptions = {
  status?: TaskStatus[];
  priority?: Priority[];
  assignedTo?: string;
  claimedBy?: string;
  tag?: string;
  search?: string;
};

export const filterOptions = (command: Command): Command =>
  command
    .option('--status <statuses>', `some of ${taskStatuses.join(', ')}`, someOf(taskStatuses))
    .option('--priority <priorities>', `some of ${priorities.join(', ')}`, someOf(priorities))
    .option('--assigned-to <agent>', 'assigned to this agent')
    .option('--claimed-by <agent>', 'being worked on by this agent')
    .option('--tag <tag>', 'with this label')
    .option('--search <words>', 'with these words in title, description or comments');

export const readFilters = async (session: Session, options: FilterOptions) => ({
  status: options.status?.join(','),
  priority: options.priority?.join(','),
  assigned_to: options.assignedTo === undefined ? undefined : await agentName(session, options.assignedTo),
  claimed_by: options.claimedBy === undefined ? undefined : await agentName(session, options.claimedBy),
  tag: options.tag,
  search: options.search,
});
