import { type LogStream, logStreams, sleep, type Task } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { Interrupted } from '../../exit.ts';
import { taskId } from '../../resolve.ts';
import { openSession, type Session } from '../../session.ts';
import { copyLog, logWriter } from '../../watch/log.ts';
import { isEnded } from '../../watch/task.ts';
import { watchUntil } from '../../watch/until.ts';
import { examples, oneOf, wholeNumber } from '../options.ts';

type Options = { follow?: boolean; stream?: LogStream; attempt?: number };

const read = (session: Session, id: number): Promise<Task> => session.client.tasks.get({ params: { id } });

/** A task that nobody has taken yet has no log to follow: wait for its first attempt. */
const waitForAttempt = (session: Session, id: number): Promise<Task> => {
  let said = false;
  return watchUntil(session, {
    what: `TASK-${id}`,
    read: () => read(session, id),
    done: (task) => task.attempts > 0 || task.status === 'in_progress' || isEnded(task),
    show: (task) => {
      if (task.attempts > 0 || task.status === 'in_progress' || isEnded(task) || said) return;
      said = true;
      session.say(`${task.ref} has not started: ${task.waiting_for?.message ?? task.status_sentence} Waiting…`);
    },
    timeout_s: null,
    again: `Look again: flotilla tasks logs -f TASK-${id}`,
  });
};

const follow = async (
  session: Session,
  id: number,
  { stream, attempt }: Options,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> => {
  const task = await waitForAttempt(session, id);
  const live = async () => {
    // Without this a coordinator that answers at once would be asked in a tight loop.
    await sleep(200, session.signal);
    const now = await read(session, id);
    return attempt === undefined && now.status === 'in_progress' && now.epoch === task.epoch;
  };
  try {
    await copyLog(session, { task_id: id, attempt, stream, follow: true }, write, { live });
  } catch (error) {
    if (error instanceof Interrupted)
      session.say(`${task.ref} goes on. Look again: flotilla tasks logs -f ${task.ref}`);
    throw error;
  }
};

export const addTasksLogs = (tasks: Command, cli: Cli): void => {
  const command = tasks.command('logs <task>').description('Print the log of the newest attempt, or of another one');
  examples(command, 'tasks logs TASK-12', 'tasks logs -f 12', 'tasks logs 12 --attempt 1 --stream stderr | tail')
    .option('-f, --follow', 'go on until the attempt ends')
    .option('--stream <stream>', `only ${logStreams.join(' or ')}`, oneOf(logStreams))
    .option('--attempt <n>', 'the n-th attempt instead of the newest', wholeNumber(1))
    .action(async (ref: string, options: Options, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      const write = logWriter(cli.stdout);
      if (options.follow === true) return follow(session, id, options, write);
      await copyLog(session, { task_id: id, attempt: options.attempt, stream: options.stream, follow: false }, write);
    });
};
