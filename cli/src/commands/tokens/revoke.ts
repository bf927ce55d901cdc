import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { confirm } from '../../prompt.ts';
import { rowId } from '../../resolve.ts';
import { openSession } from '../../session.ts';
import { destroys, examples } from '../options.ts';

export const addTokensRevoke = (tokens: Command, cli: Cli): void => {
  const command = tokens
    .command('revoke <id>')
    .description('Revoke an API token or a join token; it stops working at once');
  examples(destroys(command), 'tokens revoke 3', 'tokens revoke 5 --join --yes')
    .option('--join', 'the id is that of a join token')
    .action(async (ref: string, options: { join?: boolean }, self: Command) => {
      const what = options.join === true ? 'join token' : 'API token';
      const id = rowId(ref, what);
      const session = await openSession(cli, self);
      await confirm(cli, session.options, `This revokes ${what} ${id}; whoever uses it loses access.`);
      const tokens_of_kind = options.join === true ? session.client.join_tokens : session.client.api_tokens;
      await tokens_of_kind.revoke({ params: { id } });
      session.say(`Revoked ${what} ${id}.`);
    });
};
