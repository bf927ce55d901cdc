import { text } from 'node:stream/consumers';

import { bulkActions, BulkTasks, priorities, type Priority } from '@flotilla/shared';
import { Argument, type Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { CliError } from '../../exit.ts';
import { outcomeView } from '../../output/views/outcome.ts';
import { confirm } from '../../prompt.ts';
import { agentName, taskId } from '../../resolve.ts';
import { checkInput, openSession } from '../../session.ts';
import { collect, destroys, examples, oneOf } from '../options.ts';

type Action = (typeof bulkActions)[number];
type Options = { to?: string; priority?: Priority; add?: string[]; remove?: string[]; reason?: string };

const readRefs = async (cli: Cli, given: string[]): Promise<number[]> => {
  const refs = given.length === 1 && given[0] === '-' ? (await text(cli.stdin)).split(/\s+/) : given;
  return refs.filter((ref) => ref !== '').map(taskId);
};

const onlyGiven = <T extends object>(fields: T): Partial<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>; // the same keys, fewer

export const addTasksBulk = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('bulk')
    .description('Do one thing to many tasks (at most 500); what one refuses does not hold up the others')
    .addArgument(new Argument('<action>', 'what to do').choices(bulkActions))
    .argument('<tasks...>', 'which; - reads them from stdin');
  examples(
    destroys(command),
    'tasks bulk backlog TASK-12 TASK-13',
    'tasks bulk labels 12 13 14 --add urgent --remove later',
    'tasks list --status failed --all -o name | flotilla tasks bulk retry -',
  )
    .option('--to <agent>', 'assign: to this agent, by name or id')
    .option('--priority <priority>', `priority: ${priorities.join(', ')}`, oneOf(priorities))
    .option('--add <label>', 'labels: add this one (repeatable)', collect)
    .option('--remove <label>', 'labels: take this one away (repeatable)', collect)
    .option('--reason <text>', 'cancel: why')
    .action(async (action: Action, given: string[], options: Options, self: Command) => {
      const ids = await readRefs(cli, given);
      const { to, priority, add: add_tags, remove: remove_tags, reason } = options;
      const fields = onlyGiven({ assigned_to: to, priority, add_tags, remove_tags, reason });
      checkInput(BulkTasks, { ids, action, ...fields });
      const session = await openSession(cli, self);
      if (action === 'delete')
        await confirm(cli, session.options, `This deletes ${ids.length} tasks with their attempts and logs.`);
      const assigned_to = to === undefined ? {} : { assigned_to: await agentName(session, to) };
      const answer = await session.client.tasks.bulk({ body: { ids, action, ...fields, ...assigned_to } });
      await session.out.list(outcomeView, answer.outcomes, answer);
      if (answer.failed > 0)
        throw new CliError('failed', `${answer.failed} of ${answer.outcomes.length} tasks were not changed.`, {
          code: 'bulk_partial',
        });
    });
};
