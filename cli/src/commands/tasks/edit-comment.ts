import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { commentView } from '../../output/views/comment.ts';
import { rowId, taskId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { examples, mutates } from '../options.ts';
import { readFeedback } from './feedback.ts';

export const addTasksEditComment = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('edit-comment <task> <comment> <text>')
    .description('Change the text of a comment of yours (admins: of any); it assigns nobody');
  examples(
    mutates(command),
    'tasks edit-comment TASK-12 7 "Please look at the second one"',
    'tasks edit-comment 12 7 - < comment.md',
  ).action(async (ref: string, comment: string, given: string, _options: object, self: Command) => {
    const params = { id: taskId(ref), comment_id: rowId(comment, 'comment') };
    const text = await readFeedback(cli, given);
    const session = await openSession(cli, self);
    await session.out.one(commentView, await session.client.comments.edit({ params, body: { text } }));
  });
};
