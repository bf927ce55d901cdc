import type { WhyIdle } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { oneLine } from '../../output/sanitize.ts';
import { findAgent } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples } from '../options.ts';

const describe = ({ message, code, slots, slots_used, tasks }: WhyIdle): string => {
  const queue = Object.entries(tasks).map(([kind, count]) => `${count} ${kind.replaceAll('_', ' ')}`);
  const queued = queue.length === 0 ? 'nothing' : queue.join(', ');
  return `${oneLine(message)} (${code})\nSlots: ${slots_used} of ${slots} in use. Queued: ${queued}.`;
};

export const addAgentsWhy = (agents: Command, cli: Cli): void => {
  const command = agents.command('why <agent>').description('Say why an agent gets no work');
  examples(command, 'agents why scout', 'agents why scout -o json').action(
    async (ref: string, _options: object, self: Command) => {
      const session = await openSession(cli, self);
      const { id } = await findAgent(session, ref);
      const why = await session.client.agents.whyIdle({ params: { id } });
      if (session.out.format === 'name') return session.out.text(`${why.code}\n`);
      await session.out.value(why, () => describe(why));
    },
  );
};
