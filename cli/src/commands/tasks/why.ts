import type { Task } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { oneLine } from '../../output/sanitize.ts';
import { taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples } from '../options.ts';

const describe = (task: Task): string => {
  if (task.waiting_for === null) return oneLine(`${task.ref} waits for nothing. ${task.status_sentence}`);
  const { code, message, nearest } = task.waiting_for;
  const closest = nearest === null ? '' : `\nNearest: ${oneLine(nearest.agent)} — ${oneLine(nearest.missing)}`;
  return `${task.ref} waits: ${oneLine(message)} (${code})${closest}`;
};

export const addTasksWhy = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('why <task>').description('Say why a task is not running');
  examples(command, 'tasks why TASK-12', 'tasks why 12 -o json').action(
    async (ref: string, _options: object, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      const task = await session.client.tasks.get({ params: { id } });
      if (session.out.format === 'name') return session.out.text(`${task.waiting_for?.code ?? 'none'}\n`);
      await session.out.value(task.waiting_for, () => describe(task));
    },
  );
};
