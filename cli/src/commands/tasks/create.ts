import { CreateTask, type Task } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { CliError, usageError } from '../../exit.ts';
import { oneLine } from '../../output/sanitize.ts';
import { logWriter } from '../../watch/log.ts';
import { taskView } from '../../output/views/task.ts';
import { checkInput, openSession, type Session } from '../../session.ts';
import { watchTask } from '../../watch/task.ts';
import { duration, examples, mutates } from '../options.ts';
import { fieldOptions, type FieldOptions, readFields } from './fields.ts';

type Options = FieldOptions & { backlog?: boolean; wait?: boolean; waitTimeout?: number };

/** The result alone on stdout, so that it can be piped; machines get the ended task. */
const printResult = async (session: Session, task: Task): Promise<void> => {
  if (session.out.format !== 'table' && session.out.format !== 'wide') return session.out.one(taskView, task);
  if (task.resolution === null) return;
  const text = task.resolution.endsWith('\n') ? task.resolution : `${task.resolution}\n`;
  await logWriter(session.cli.stdout)(new TextEncoder().encode(text));
};

const wait = async (session: Session, task: Task, timeout_s: number | null): Promise<void> => {
  session.say(`Created ${task.ref}.`);
  const ended = await watchTask(session, task, timeout_s);
  await printResult(session, ended);
  if (ended.status === 'done') return;
  const why = ended.failure === null ? ended.status_sentence : `${ended.failure.kind}: ${ended.failure.message}`;
  throw new CliError('ended_badly', `${ended.ref} ended ${ended.status}: ${oneLine(why)}`, {
    code: `task_${ended.status}`,
    hint: `See flotilla tasks attempts ${ended.ref}; try again with flotilla tasks retry ${ended.ref}.`,
  });
};

export const addTasksCreate = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('create <title>')
    .description('Create a task; with --wait watch it to its end and print its result');
  examples(
    mutates(command),
    'tasks create "Say hello"',
    'tasks create "Fix the login test" --file bug.md --require-tag linux --priority high',
    'tasks create "Review this diff" --description - --wait < changes.diff > review.md',
  );
  fieldOptions(command)
    .option('--backlog', 'park it; nobody gets it until it is moved to the inbox')
    .option(
      '--wait',
      'watch it to its end: log on stderr, result on stdout, exit code 5 when it failed or was cancelled',
    )
    .option('--wait-timeout <duration>', 'with --wait: stop watching after this long with exit code 6', duration)
    .action(async (title: string, options: Options, self: Command) => {
      if (options.wait === true && options.backlog === true)
        throw usageError('A parked task does not end: give --wait or --backlog.');
      const session = await openSession(cli, self);
      const status = options.backlog === true ? { status: 'backlog' as const } : {};
      const body = checkInput(CreateTask, { title, ...(await readFields(session, options)), ...status });
      const task = await session.client.tasks.create({ body }, session.creation());
      if (options.wait === true) return wait(session, task, options.waitTimeout ?? null);
      await session.out.one(taskView, task);
    });
};
