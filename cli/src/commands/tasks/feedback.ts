import { text } from 'node:stream/consumers';

import { CommentText } from '@flotilla/shared';

import type { Cli } from '../../cli.ts';
import { checkInput } from '../../session.ts';

/** A text for others to read, given as it is or on stdin; checked before anything is sent. */
export const readFeedback = async (cli: Cli, given: string): Promise<string> =>
  checkInput(CommentText, given === '-' ? await text(cli.stdin) : given);
