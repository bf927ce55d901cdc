import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { examples } from '../options.ts';
import { runAdmin } from './run.ts';

export const addAdminBackup = (admin: Command, cli: Cli): void => {
  const command = admin
    .command('backup <file>')
    .description('Write the database to a file (- is stdout), also while the coordinator runs')
    .addHelpText('after', '\nWhich database: FLOTILLA_DATA_DIR or DATABASE_URL, as for the coordinator.');
  examples(
    command,
    'admin backup /var/backups/flotilla.backup',
    'admin backup - | ssh vault "cat > flotilla.backup"',
  ).action((file: string) => runAdmin(cli, ['backup', '--', file]));
};
