import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { confirm } from '../../prompt.ts';
import { findAgent } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { destroys, examples } from '../options.ts';

export const addAgentsDelete = (agents: Command, cli: Cli): void => {
  const command = agents
    .command('delete <agent>')
    .description('Delete an agent that runs nothing; its token dies with it');
  examples(destroys(command), 'agents delete scout', 'agents delete 7 --yes').action(
    async (ref: string, _options: object, self: Command) => {
      const session = await openSession(cli, self);
      const agent = await findAgent(session, ref);
      await confirm(
        cli,
        session.options,
        `This deletes agent ${agent.name} (id ${agent.id}) and its token; the host must join again.`,
      );
      await session.client.agents.delete({ params: { id: agent.id } });
      session.say(`Deleted agent ${agent.name}.`);
    },
  );
};
