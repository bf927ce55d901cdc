import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';

import type { Cli } from './cli.ts';
import { CliError, Interrupted, usageError } from './exit.ts';

type Ask = { input: boolean };

export const canAsk = (cli: Cli, { input }: Ask): boolean => input && cli.stdin.isTTY && cli.stderr.isTTY;

/** One line from the terminal; the question is on stderr, since stdout is for data. */
const ask = (cli: Cli, question: string, hidden: boolean): Promise<string> =>
  new Promise((resolve, reject) => {
    const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
    // Without `terminal` the terminal itself echoes and edits the line; with it readline does, into nothing.
    const lines = createInterface({ input: cli.stdin, output: hidden ? silent : undefined, terminal: hidden });
    // After readline took the terminal over: what is typed at once must not be echoed either.
    cli.stderr.write(question);
    const stop = () => {
      lines.close();
      reject(new Interrupted());
    };
    cli.signal.addEventListener('abort', stop, { once: true });
    lines.on('SIGINT', stop);
    lines.once('line', (line) => {
      resolve(line);
      lines.close();
    });
    lines.once('close', () => {
      cli.signal.removeEventListener('abort', stop);
      if (hidden) cli.stderr.write('\n');
      // After an answer this changes nothing; without one it was Ctrl-D.
      resolve('');
    });
  });

export const askSecret = (cli: Cli, question: string): Promise<string> => ask(cli, question, true);

/** Asks before something is destroyed; where nobody can be asked, `--yes` must say it. */
export const confirm = async (
  cli: Cli,
  options: { input: boolean; yes?: boolean; dryRun?: boolean },
  effect: string,
): Promise<void> => {
  if (options.yes === true || options.dryRun === true) return;
  if (!canAsk(cli, options)) throw usageError(`${effect} This needs --yes where nobody can be asked.`);
  const answer = await ask(cli, `${effect} Go on? [y/N] `, false);
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('cancelled', 'Nothing was changed.', { code: 'declined' });
};
