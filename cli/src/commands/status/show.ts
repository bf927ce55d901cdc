import type { StatusReport } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { oneLine } from '../../output/sanitize.ts';
import { openSession } from '../../session.ts';
import { describeExpiry } from '../expiry/expiry.ts';
import { examples } from '../options.ts';

const counts = (record: Record<string, number>): string => {
  const parts = Object.entries(record).filter(([, count]) => count > 0);
  return parts.length === 0 ? 'none' : parts.map(([name, count]) => `${count} ${name}`).join(', ');
};

const describePause = ({ since, by, reason }: NonNullable<StatusReport['pause']>): string =>
  oneLine(`since ${since} by ${by}${reason === null ? '' : `: ${reason}`} (end it with \`flotilla resume\`)`);

const describe = (report: StatusReport, url: string): string =>
  [
    ['Coordinator', `${url} (version ${report.version}, workspace ${report.workspace})`],
    ...(report.pause === null ? [] : [['Paused', describePause(report.pause)]]),
    ['Agents', counts(report.agents)],
    ['Slots', `${report.slots.used} of ${report.slots.total} in use`],
    ['Tasks', counts(report.tasks)],
    ['Waiting', counts(report.waiting)],
    ...(report.expiry.suspended === null ? [] : [['Requeueing', describeExpiry(report.expiry)]]),
  ]
    .map(([head, text]) => `${`${head}:`.padEnd(13)}${text}`)
    .join('\n');

export const addStatus = (program: Command, cli: Cli): void => {
  const command = program.command('status').description('Count agents, slots, tasks and the reasons for waiting');
  examples(command, 'status', 'status --json').action(async (_options: object, self: Command) => {
    const session = await openSession(cli, self);
    const report = await session.client.workspaces.status();
    await session.out.value(report, () => describe(report, session.connection.url));
  });
};
