import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples } from '../options.ts';
import { runAdmin } from './run.ts';

export const addAdminCheck = (admin: Command, cli: Cli): void => {
  const command = admin.command('check <file>').description('Read a backup and say whether it is complete');
  examples(command, 'admin check /var/backups/flotilla.backup').action((file: string) =>
    runAdmin(cli, ['check', '--', file]),
  );
};
