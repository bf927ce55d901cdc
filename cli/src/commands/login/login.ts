import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { checkUrl, type Connection, contextsPath } from '../../config.ts';
import { readContexts, writeContexts } from '../../contexts.ts';
import { usageError } from '../../exit.ts';
import { oneLine } from '../../output/sanitize.ts';
import { askSecret, canAsk } from '../../prompt.ts';
import { readTokenFlags } from '../../secrets.ts';
import { connect, type GlobalOptions, globalOptions, outputOf } from '../../session.ts';
import { say } from '../../cli.ts';
import { examples } from '../options.ts';

/** The token of the flags, of the environment, or typed in where somebody can be asked. */
const findToken = async (cli: Cli, options: GlobalOptions, url: string): Promise<string> => {
  const given = (await readTokenFlags(cli, options)) ?? cli.env.token;
  if (given !== null) return given;
  const typed = canAsk(cli, options) ? (await askSecret(cli, `Token for ${url}: `)).trim() : '';
  if (typed !== '') return typed;
  throw usageError('A token is needed to log in.', 'Use --token-file FILE, or --token - to read it from stdin.');
};

const checkContextName = (name: string): string => {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) return name;
  throw usageError(`"${name}" is not a name for a context.`, 'Use letters, digits, ".", "_" and "-".');
};

const warnPlain = (cli: Cli, url: string): void => {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'http:' && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname))
    say(cli, `Warning: ${url} is not encrypted; the token travels in the clear.`);
};

export const addLogin = (program: Command, cli: Cli): void => {
  const command = program
    .command('login')
    .description('Check a token and remember it with its coordinator as a context');
  examples(
    command,
    'login --url https://flotilla.example.org --token-file token.txt',
    'login --url http://127.0.0.1:8080 --token - --name local < token.txt',
  )
    .option('--name <context>', 'name of the context (default: the current one of this address, or "default")')
    .action(async ({ name }: { name?: string }, self: Command) => {
      const options = globalOptions(self);
      const path = contextsPath(cli.env);
      const file = await readContexts(path, (line) => say(cli, line));
      const current = file.current === null ? undefined : file.contexts[file.current];
      const given = options.url ?? cli.env.url ?? current?.url;
      if (given === undefined) throw usageError('Which coordinator?', 'Give its address with --url.');
      const url = checkUrl(given, options.url === undefined ? 'the address' : '--url');
      const context = checkContextName(
        name ?? (current?.url === url && file.current !== null ? file.current : 'default'),
      );
      const token = await findToken(cli, options, url);
      warnPlain(cli, url);
      const connection: Connection = {
        url,
        url_from: options.url === undefined ? 'FLOTILLA_URL or the current context' : '--url',
        token,
      };
      const me = await connect(cli, connection).workspaces.me();
      await writeContexts(path, { current: context, contexts: { ...file.contexts, [context]: { url, token } } });
      const out = outputOf(cli, options);
      if (out.format === 'json' || out.format === 'yaml') await out.value(me, () => '');
      if (out.format === 'name') out.text(`${context}\n`);
      say(
        cli,
        oneLine(
          `Logged in to ${url} as ${me.principal.name} (${me.principal.role}), workspace ${me.workspace.slug}; context "${context}" is current.`,
        ),
      );
    });
};
