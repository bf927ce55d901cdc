import { styleText } from 'node:util';

import type { Comment } from '@flotilla/shared';

import type { Cli } from '../../cli.ts';
import { showWhen } from '../format.ts';
import { manyLines } from '../sanitize.ts';
import type { View } from '../view.ts';

export const commentView: View<Comment> = {
  plural: 'comments',
  name: (comment) => String(comment.id),
  columns: [
    { head: 'COMMENT', cell: (comment) => `#${comment.id}` },
    { head: 'AUTHOR', cell: (comment) => comment.author },
    { head: 'AGE', cell: (comment, now) => showWhen(comment.created_at, now) },
    { head: 'TEXT', cell: (comment) => comment.text ?? '(deleted)' },
    { head: 'MENTIONS', cell: (comment) => comment.mentions.join(',') || '-', wide: true },
  ],
};

const entry = (comment: Comment, now: number): string => {
  const { id, author, agent, created_at, edited_at, reply_to, text, question } = comment;
  const facts = [
    `#${id} ${author}`,
    ...(agent === null || author === `agent:${agent}` ? [] : [`by ${agent}`]),
    showWhen(created_at, now),
    ...(question ? ['question'] : []),
    ...(edited_at === null ? [] : ['edited']),
    ...(reply_to === null ? [] : [`answers #${reply_to}`]),
  ];
  const lines = manyLines(text ?? '(deleted)')
    .trimEnd()
    .split('\n');
  return [facts.join(' · '), ...lines.map((line) => `  ${line}`)].join('\n');
};

/** What `get` shows under a task: the newest comments, oldest first. */
export const commentThread = (newest_first: readonly Comment[], more: boolean, cli: Cli): string => {
  const head = styleText('bold', more ? `COMMENTS (newest ${newest_first.length})` : 'COMMENTS', {
    stream: cli.stdout,
  });
  return `\n${[head, ...newest_first.toReversed().map((comment) => entry(comment, cli.now()))].join('\n')}\n`;
};
