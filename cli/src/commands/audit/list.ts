import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { auditView } from '../../output/views/audit.ts';
import { openSession } from '../../session.ts';
import { printPages } from '../list.ts';
import { examples, type PageOptions, pages } from '../options.ts';

export const addAuditList = (audit: Command, cli: Cli): void => {
  const command = audit.command('list').description('List who changed what, newest first');
  examples(pages(command), 'audit list --limit 20', 'audit list --all --json').action(
    async (options: PageOptions, self: Command) => {
      const session = await openSession(cli, self);
      await printPages(session, 'audit', auditView, options, async (query) => {
        const { audit: rows, next_cursor } = await session.client.audit.list({ query });
        return { rows, next_cursor };
      });
    },
  );
};
