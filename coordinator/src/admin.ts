import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { runBackup, runCheck, runRestore, type Terminal } from './admin/commands.ts';
import { AdminError, explainFailure } from './admin/error.ts';
import { readConfig } from './config.ts';

const MIGRATIONS = fileURLToPath(new URL('../drizzle', import.meta.url));
/** What shells report for a process ended by Ctrl-C; the CLI uses it too. */
const INTERRUPTED = 130;

const USAGE = `Backup and restore of the coordinator's database; configured by the coordinator's own environment
(FLOTILLA_DATA_DIR or DATABASE_URL).

  backup <file>|-            write everything to a file or to stdout, also while the coordinator runs
  check <file>               read a backup and say whether it is complete
  restore <file> [--force]   fill an empty database from it; --force replaces one that is not empty
`;

const readArguments = (argv: string[]) => {
  try {
    const options = { force: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } } as const;
    return parseArgs({ args: argv, options, allowPositionals: true });
  } catch (error) {
    throw new AdminError(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`, { exit_code: 2 });
  }
};

const run = async (argv: string[], terminal: Terminal, signal: AbortSignal): Promise<void> => {
  const { values, positionals } = readArguments(argv);
  const [verb, file, ...rest] = positionals;
  if (values.help) {
    terminal.stdout.write(USAGE);
    return;
  }
  const forced = values.force && verb !== 'restore';
  if (file === undefined || file === '' || rest.length > 0 || forced) throw new AdminError(USAGE, { exit_code: 2 });
  if (verb === 'check') await runCheck(file, terminal);
  else if (verb === 'backup') await runBackup(readConfig(), file, terminal, signal);
  else if (verb === 'restore')
    await runRestore(readConfig(), { file, force: values.force, migrations: MIGRATIONS }, terminal, signal);
  else throw new AdminError(USAGE, { exit_code: 2 });
};

const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => stop.abort(new Error(name)));

const say = (line: string): void => void process.stderr.write(`${line.trimEnd()}\n`);
try {
  await run(process.argv.slice(2), { stdout: process.stdout, say }, stop.signal);
  process.exit(0);
} catch (error) {
  if (stop.signal.aborted) {
    say('Interrupted; whatever was not finished is undone.');
    process.exit(INTERRUPTED);
  }
  const { text, exit_code } = explainFailure(error);
  say(text);
  process.exit(exit_code);
}
