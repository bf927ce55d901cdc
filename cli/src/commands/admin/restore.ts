import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples } from '../options.ts';
import { runAdmin } from './run.ts';

export const addAdminRestore = (admin: Command, cli: Cli): void => {
  const command = admin
    .command('restore <file>')
    .description('Fill the database from a backup; the coordinator must be stopped')
    .option('--force', 'replace a database that is not empty')
    .addHelpText('after', '\nWhich database: FLOTILLA_DATA_DIR or DATABASE_URL, as for the coordinator.');
  examples(command, 'admin restore /var/backups/flotilla.backup').action((file: string, { force }: { force?: true }) =>
    runAdmin(cli, ['restore', ...(force === true ? ['--force'] : []), '--', file]),
  );
};
