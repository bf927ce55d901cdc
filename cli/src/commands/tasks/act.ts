import type { Task } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { taskView } from '../../output/views/task.ts';
import { taskId } from '../../resolve.ts';
import { openSession, type Session } from '../../session.ts';

/** The common shape of verbs that change one task and print it. */
export const actOnTask =
  <O extends object>(cli: Cli, act: (session: Session, id: number, options: O) => Promise<Task>) =>
  async (ref: string, options: O, self: Command): Promise<void> => {
    const id = taskId(ref);
    const session = await openSession(cli, self);
    await session.out.one(taskView, await act(session, id, options));
  };
