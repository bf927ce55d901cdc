import type { QueueAnswer } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { oneLine } from '../../output/sanitize.ts';
import { openSession } from '../../session.ts';
import { examples, mutates, wholeNumber } from '../options.ts';

const describe = ({ task, reason, holding }: QueueAnswer): string => {
  const held = holding.map(
    ({ id, epoch, lease_expires_at }) => `TASK-${id} (epoch ${epoch}, lease to ${lease_expires_at})`,
  );
  return [
    task === null ? `Nothing: ${reason}` : `${task.ref} (epoch ${task.epoch}): ${oneLine(task.title)}`,
    `Holding: ${held.length === 0 ? 'nothing' : held.join(', ')}`,
  ].join('\n');
};

export const addQueuePoll = (queue: Command, cli: Cli): void => {
  const command = queue
    .command('poll <agent>')
    .description('Claim one task for an agent without a daemon; a new name is registered');
  examples(mutates(command), 'queue poll scout', 'queue poll scout --max-capacity 3 --json')
    .option('--max-capacity <count>', 'how many tasks it may hold at once (default: its slots)', wholeNumber(1))
    .action(async (agent: string, options: { maxCapacity?: number }, self: Command) => {
      const session = await openSession(cli, self);
      const answer = await session.client.tasks.queue({ query: { agent, max_capacity: options.maxCapacity } });
      if (session.out.format === 'name') return session.out.text(answer.task === null ? '' : `${answer.task.ref}\n`);
      await session.out.value(answer, () => describe(answer));
    });
};
