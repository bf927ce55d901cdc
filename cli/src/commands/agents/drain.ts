import { onDeadline, type OnDeadline } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { usageError } from '../../exit.ts';
import { agentView } from '../../output/views/agent.ts';
import { findAgent } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { watchDrain } from '../../watch/drain.ts';
import { duration, examples, mutates, oneOf } from '../options.ts';

type Options = { deadline?: number; onDeadline?: OnDeadline; reason?: string; detach?: boolean; timeout?: number };

export const addAgentsDrain = (agents: Command, cli: Cli): void => {
  const command = agents
    .command('drain <agent>')
    .description('Give an agent no new work, and watch until nothing runs on it');
  examples(
    mutates(command),
    'agents drain scout',
    'agents drain scout --deadline 10m --on-deadline requeue --reason "kernel update"',
    'agents drain scout --detach',
  )
    .option('--deadline <duration>', 'how long running tasks get; without it there is no end', duration)
    .option('--on-deadline <action>', `then: ${onDeadline.join(', ')} (default wait)`, oneOf(onDeadline))
    .option('--reason <text>', 'why, for the audit and for others')
    .option('--detach', 'do not watch')
    .option('--timeout <duration>', 'stop watching after this long with exit code 6; the drain goes on', duration)
    .action(async (ref: string, options: Options, self: Command) => {
      if (options.onDeadline !== undefined && options.onDeadline !== 'wait' && options.deadline === undefined) {
        throw usageError(
          `--on-deadline ${options.onDeadline} needs a --deadline.`,
          'Use --deadline 0s to do it at once.',
        );
      }
      const session = await openSession(cli, self);
      const { id } = await findAgent(session, ref);
      const body = { deadline_s: options.deadline, on_deadline: options.onDeadline, reason: options.reason };
      const draining = await session.client.agents.drain({ params: { id }, body });
      if (options.detach === true || draining.drained) return session.out.one(agentView, draining);
      await session.out.one(agentView, await watchDrain(session, draining, options.timeout ?? null));
    });
};
