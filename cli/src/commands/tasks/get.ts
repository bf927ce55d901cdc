import type { Attempt, Task } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { commentThread } from '../../output/views/comment.ts';
import { taskView, taskViewWith } from '../../output/views/task.ts';
import { taskId } from '../../resolve.ts';
import { openSession, type Session } from '../../session.ts';
import { examples } from '../options.ts';

/** More than this is what `tasks activity` is for. */
const COMMENTS = 20;

/** What the attempt that works on the task last said about how far it is. */
const readProgress = async (session: Session, { id, status, epoch }: Task): Promise<Attempt['progress']> => {
  if (status !== 'in_progress') return null;
  const { attempts } = await session.client.tasks.attempts({ params: { id }, query: { limit: 1 } });
  return attempts.find((attempt) => attempt.epoch === epoch)?.progress ?? null;
};

export const addTasksGet = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('get <task>')
    .description('Show a task, named like 12 or TASK-12, how far it is, and its newest comments');
  examples(command, 'tasks get TASK-12', 'tasks get 12 --json').action(
    async (ref: string, _options: object, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      const task = await session.client.tasks.get({ params: { id } });
      if (session.out.format !== 'table' && session.out.format !== 'wide') return session.out.one(taskView, task);
      await session.out.one(taskViewWith(await readProgress(session, task)), task, 'details');
      const { comments, next_cursor } = await session.client.comments.list({
        params: { id },
        query: { limit: COMMENTS },
      });
      if (comments.length > 0) session.out.text(commentThread(comments, next_cursor !== null, cli));
    },
  );
};
