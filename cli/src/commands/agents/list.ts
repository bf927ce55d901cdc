import { type AgentStatus, agentStatuses } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { agentView } from '../../output/views/agent.ts';
import { openSession } from '../../session.ts';
import { printPages } from '../list.ts';
import { examples, type PageOptions, pages, someOf } from '../options.ts';

type Options = PageOptions & { status?: AgentStatus[]; tag?: string };

export const addAgentsList = (agents: Command, cli: Cli): void => {
  const command = agents.command('list').description('List agents by name');
  examples(pages(command), 'agents list', 'agents list --status draining,offline -o wide', 'agents list -o name | head')
    .option('--status <statuses>', `some of ${agentStatuses.join(', ')}`, someOf(agentStatuses))
    .option('--tag <tag>', 'only agents with this scheduling tag')
    .action(async (options: Options, self: Command) => {
      const session = await openSession(cli, self);
      await printPages(session, 'agents', agentView, options, async (page) => {
        const query = { ...page, status: options.status?.join(','), tag: options.tag };
        const { agents: rows, next_cursor } = await session.client.agents.list({ query });
        return { rows, next_cursor };
      });
    });
};
