import { isTerminal, type Task, taskMachine } from '@flotilla/shared';

import { isNotFound, type Session } from '../session.ts';
import { CliError } from '../exit.ts';
import { oneLine } from '../output/sanitize.ts';
import { copyLog, logWriter } from './log.ts';
import { watchUntil } from './until.ts';

export const isEnded = (task: Task): boolean => isTerminal(taskMachine, task.status);

/** Is this very attempt still running? A new epoch is another attempt. */
const stillRuns = (session: Session, task: Task) => async (): Promise<boolean> => {
  const now = await session.client.tasks.get({ params: { id: task.id } });
  return now.status === 'in_progress' && now.epoch === task.epoch;
};

const progressLine = (task: Task): string => {
  if (task.status === 'in_progress')
    return `${task.ref}: running on ${task.claimed_by ?? 'an agent'} (attempt ${task.attempts})`;
  const why = task.waiting_for?.message ?? task.failure?.message ?? task.status_sentence;
  return `${task.ref}: ${task.status} — ${oneLine(why)}`;
};

/** The log of whatever attempt runs, on stderr. It is company, not the result: trouble with it ends nothing. */
const followLogs = (session: Session, stop: AbortSignal) => {
  const write = logWriter(session.cli.stderr);
  let epoch: number | null = null;
  let running: Promise<void> = Promise.resolve();
  return {
    show: (task: Task): void => {
      if (task.status !== 'in_progress' || task.epoch === null || task.epoch === epoch) return;
      epoch = task.epoch;
      const request = { task_id: task.id, follow: true };
      running = running
        .then(() => copyLog(session, request, write, { signal: stop, live: stillRuns(session, task) }))
        .catch(() => undefined);
    },
    ended: () => running,
  };
};

// The last lines of a log arrive just after the result; more patience than this would only delay the exit.
const LAST_LINES_MS = 2_000;

/** Watches a task to its end with its log on stderr. */
export const watchTask = async (session: Session, task: Task, timeout_s: number | null): Promise<Task> => {
  const stop = new AbortController();
  const log = followLogs(session, AbortSignal.any([stop.signal, session.signal]));
  let last = '';
  try {
    const ended = await watchUntil(session, {
      what: task.ref,
      read: () => session.client.tasks.get({ params: { id: task.id } }),
      done: isEnded,
      show: (now) => {
        const line = progressLine(now);
        if (line !== last && !isEnded(now)) session.say(line);
        last = line;
        log.show(now);
      },
      timeout_s,
      again: `Look again: flotilla tasks get ${task.ref} · log: flotilla tasks logs -f ${task.ref} · stop it: flotilla tasks cancel ${task.ref}`,
    });
    const patience = setTimeout(() => stop.abort(), LAST_LINES_MS);
    await log.ended();
    clearTimeout(patience);
    return ended;
  } catch (error) {
    if (isNotFound(error))
      throw new CliError('ended_badly', `${task.ref} was deleted while it was watched.`, { code: 'task_gone' });
    throw error;
  } finally {
    stop.abort();
  }
};
