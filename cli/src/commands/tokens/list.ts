import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { apiTokenView, joinTokenView } from '../../output/views/token.ts';
import { openSession } from '../../session.ts';
import { printPages } from '../list.ts';
import { examples, type PageOptions, pages } from '../options.ts';

export const addTokensList = (tokens: Command, cli: Cli): void => {
  const command = tokens
    .command('list')
    .description('List API tokens or join tokens, newest first; never their secrets');
  examples(pages(command), 'tokens list', 'tokens list --join')
    .option('--join', 'list join tokens')
    .action(async (options: PageOptions & { join?: boolean }, self: Command) => {
      const session = await openSession(cli, self);
      const { client } = session;
      if (options.join === true) {
        return printPages(session, 'join_tokens', joinTokenView, options, async (query) => {
          const { join_tokens: rows, next_cursor } = await client.join_tokens.list({ query });
          return { rows, next_cursor };
        });
      }
      return printPages(session, 'api_tokens', apiTokenView, options, async (query) => {
        const { api_tokens: rows, next_cursor } = await client.api_tokens.list({ query });
        return { rows, next_cursor };
      });
    });
};
