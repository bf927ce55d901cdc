import type { Expiry } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { oneLine } from '../../output/sanitize.ts';
import { openSession } from '../../session.ts';
import { examples, mutates } from '../options.ts';

export const describeExpiry = ({ suspended, silent, counted }: Expiry): string => {
  if (suspended === null) return `on; ${silent} of ${counted} hosts fell silent lately`;
  const until = suspended.until === null ? '' : ` until ${suspended.until}`;
  const hint = suspended.reason === 'mass silence' ? '; `flotilla expiry release` if those hosts are dead' : '';
  return oneLine(`suspended${until}: ${suspended.reason}, ${silent} of ${counted} hosts are silent${hint}`);
};

export const addExpiryShow = (expiry: Command, cli: Cli): void => {
  const command = expiry.command('show').description('Say whether tasks of silent hosts are requeued right now');
  examples(command, 'expiry show').action(async (_options: object, self: Command) => {
    const session = await openSession(cli, self);
    const answer = await session.client.expiry.get();
    await session.out.value(answer, () => `Requeueing is ${describeExpiry(answer)}`);
  });
};

export const addExpiryRelease = (expiry: Command, cli: Cli): void => {
  const command = expiry
    .command('release')
    .description('End a mass silence: the silent hosts are dead, requeue what they held');
  examples(mutates(command), 'expiry release --reason "rack 4 burned"')
    .requiredOption('--reason <text>', 'why, for the audit')
    .action(async (body: { reason: string }, self: Command) => {
      const session = await openSession(cli, self);
      const answer = await session.client.expiry.release({ body: { reason: body.reason } });
      await session.out.value(answer, () => `Requeueing is ${describeExpiry(answer)}`);
    });
};
