import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { taskView } from '../../output/views/task.ts';
import { agentName, taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples, mutates } from '../options.ts';

export const addTasksAssign = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('assign <task> <agent>')
    .description('Give a task to one agent, by name or id; an unknown name waits until it joins');
  examples(mutates(command), 'tasks assign TASK-12 scout').action(
    async (ref: string, agent: string, _options: object, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      const assigned_to = await agentName(session, agent);
      const task = await session.client.tasks.assign({ params: { id }, body: { assigned_to } });
      await session.out.one(taskView, task);
      if (task.waiting_for?.code === 'unknown_agent')
        session.say(`There is no agent "${assigned_to}" yet; ${task.ref} waits for it.`);
    },
  );
};
