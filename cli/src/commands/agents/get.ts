import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { agentView } from '../../output/views/agent.ts';
import { findAgent } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples } from '../options.ts';

export const addAgentsGet = (agents: Command, cli: Cli): void => {
  const command = agents
    .command('get <agent>')
    .description('Show an agent, named by id, name or the unique start of a name');
  examples(command, 'agents get scout', 'agents get 7 -o json').action(
    async (ref: string, _options: object, self: Command) => {
      const session = await openSession(cli, self);
      await session.out.one(agentView, await findAgent(session, ref), 'details');
    },
  );
};
