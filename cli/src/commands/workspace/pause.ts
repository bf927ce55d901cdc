import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { confirm } from '../../prompt.ts';
import { workspaceView } from '../../output/views/workspace.ts';
import { openSession } from '../../session.ts';
import { destroys, examples, mutates } from '../options.ts';

export const addPause = (program: Command, cli: Cli): void => {
  const command = program.command('pause').description('Give nobody in the workspace new work; what runs goes on');
  examples(mutates(command), 'pause --reason "provider outage"')
    .option('--reason <text>', 'why, for the audit and for others')
    .action(async (options: { reason?: string }, self: Command) => {
      const session = await openSession(cli, self);
      const { workspace } = await session.client.workspaces.me();
      const body = { reason: options.reason };
      const paused = await session.client.workspaces.pause({ params: { id: workspace.id }, body });
      await session.out.one(workspaceView, paused.workspace);
    });
};

export const addResume = (program: Command, cli: Cli): void => {
  const command = program.command('resume').description('End the pause of the workspace');
  examples(mutates(command), 'resume').action(async (_options: object, self: Command) => {
    const session = await openSession(cli, self);
    const { workspace } = await session.client.workspaces.me();
    await session.out.one(workspaceView, await session.client.workspaces.resume({ params: { id: workspace.id } }));
  });
};

export const addStop = (program: Command, cli: Cli): void => {
  const command = program
    .command('stop')
    .description('Emergency stop: pause the workspace and cancel everything that runs in it');
  examples(destroys(command), 'stop --reason "it deletes the wrong things"', 'stop --reason "leaked key" --yes')
    .requiredOption('--reason <text>', 'why, for the audit and for others')
    .action(async (options: { reason: string }, self: Command) => {
      const session = await openSession(cli, self);
      const { workspace } = await session.client.workspaces.me();
      const { slots } = await session.client.workspaces.status();
      const effect = `This cancels ${slots.used} running tasks of workspace ${workspace.slug} and pauses it.`;
      await confirm(cli, session.options, effect);
      const body = { kill: true, reason: options.reason };
      const stopped = await session.client.workspaces.pause({ params: { id: workspace.id }, body });
      session.say(`${stopped.cancelling} running tasks were asked to stop.`);
      await session.out.one(workspaceView, stopped.workspace);
    });
};
