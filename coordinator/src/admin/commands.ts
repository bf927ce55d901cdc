import { userInfo } from 'node:os';

import { pino } from 'pino';

import type { Config } from '../config.ts';
import { provideDatabase, reachDatabase } from '../db/provide.ts';
import { type BackupSummary, backupToFile, writeBackup } from './backup.ts';
import { AdminError } from './error.ts';
import { checkBackup } from './read-backup.ts';
import { planRestore, restoreDatabase } from './restore.ts';

/** What the process gives: output for data, lines for the person. */
export type Terminal = { stdout: NodeJS.WriteStream; say: (line: string) => void };

const quiet = pino({ level: 'silent' });
const counted = ({ rows, tables }: BackupSummary): string => `${rows} rows of ${tables} tables`;

export const runBackup = async (
  config: Config,
  target: string,
  { stdout, say }: Terminal,
  signal: AbortSignal,
): Promise<void> => {
  if (target === '-' && stdout.isTTY)
    throw new AdminError('A backup is not for a terminal: name a file, or send it to a program (… | ssh …).', {
      exit_code: 2,
    });
  const database = await reachDatabase(config, quiet, signal);
  try {
    const summary =
      target === '-'
        ? await writeBackup(database.facts, stdout, signal)
        : await backupToFile(database.facts, target, signal);
    say(`Backed up ${counted(summary)}${target === '-' ? '' : ` to ${target}`}.`);
  } finally {
    await database.stop();
  }
};

export const runCheck = async (file: string, { say }: Terminal): Promise<void> => {
  const { header, rows } = await checkBackup(file);
  say(
    `${file} is complete: ${counted({ rows, tables: header.tables.length })}, made at ${header.created_at} by Flotilla ${header.flotilla_version}.`,
  );
};

export const runRestore = async (
  config: Config,
  { file, force, migrations }: { file: string; force: boolean; migrations: string },
  { say }: Terminal,
  signal: AbortSignal,
): Promise<void> => {
  const plan = await planRestore(file, migrations);
  const database = await provideDatabase(config, quiet, signal);
  try {
    const by = userInfo().username;
    const { header, rows, skipped, era } = await restoreDatabase(database.facts, plan, {
      force,
      by,
      random: Math.random,
      signal,
    });
    if (skipped.length > 0) say(`Left out, for they are not Flotilla's: ${skipped.join(', ')}.`);
    say(`Restored ${counted({ rows, tables: header.tables.length })} as of ${header.created_at}.`);
    say(`Epochs go on after ${era.epoch_after}. Start the coordinator; work that ended after the backup runs again.`);
  } finally {
    await database.stop();
  }
};
