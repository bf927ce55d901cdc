import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { agentView } from '../../output/views/agent.ts';
import { findAgent } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples, mutates } from '../options.ts';

export const addAgentsResume = (agents: Command, cli: Cli): void => {
  const command = agents.command('resume <agent>').description('Let a drained or draining agent take work again');
  examples(mutates(command), 'agents resume scout').action(async (ref: string, _options: object, self: Command) => {
    const session = await openSession(cli, self);
    const agent = await findAgent(session, ref);
    // Names the drain that was seen: one that somebody asks for meanwhile is not undone by accident.
    const body = agent.drain === null ? {} : { generation: agent.drain.generation };
    await session.out.one(agentView, await session.client.agents.resume({ params: { id: agent.id }, body }));
  });
};
