import { homedir } from 'node:os';
import { join } from 'node:path';

import type { ContextFile } from './contexts.ts';
import { CliError } from './exit.ts';

/** The environment this program looks at. This file is the only one that reads `process.env`. */
export type Env = {
  /** FLOTILLA_URL: the coordinator, over the one of the context. */
  url: string | null;
  /** FLOTILLA_TOKEN: the token, over the one of the context. */
  token: string | null;
  /** FLOTILLA_CONFIG_HOME, else $XDG_CONFIG_HOME/flotilla, else ~/.config/flotilla. */
  config_dir: string;
  /** FLOTILLA_COORDINATOR_DIR: where the coordinator is installed on this machine, else beside this program. */
  coordinator_dir: string | null;
};

const set = (value: string | undefined): string | null => (value === undefined || value === '' ? null : value);

export const readEnv = (env: NodeJS.ProcessEnv = process.env): Env => ({
  url: set(env['FLOTILLA_URL']),
  token: set(env['FLOTILLA_TOKEN']),
  config_dir:
    set(env['FLOTILLA_CONFIG_HOME']) ?? join(set(env['XDG_CONFIG_HOME']) ?? join(homedir(), '.config'), 'flotilla'),
  coordinator_dir: set(env['FLOTILLA_COORDINATOR_DIR']),
});

export const contextsPath = (env: Env): string => join(env.config_dir, 'contexts.json');

/** Where to talk to and as whom. `url_from` is said when nothing answers there. */
export type Connection = { url: string; url_from: string; token: string | null };

export type ConnectionFlags = { url?: string | undefined; token: string | null; context?: string | undefined };

export const checkUrl = (url: string, from: string): string => {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (
    parsed === null ||
    !['http:', 'https:'].includes(parsed.protocol) ||
    parsed.username !== '' ||
    parsed.password !== ''
  ) {
    throw new CliError('usage', `${from} is not an http(s) address: ${url}`, {
      code: 'usage',
      hint: 'Write it like https://flotilla.example.org or http://127.0.0.1:8080.',
    });
  }
  return url.replace(/\/+$/, '');
};

/** Flag over environment over the current context. */
export const resolveConnection = (flags: ConnectionFlags, env: Env, file: ContextFile): Connection => {
  const name = flags.context ?? file.current;
  const context = name === null ? undefined : file.contexts[name];
  if (flags.context !== undefined && context === undefined) {
    throw new CliError('usage', `There is no context "${flags.context}".`, {
      code: 'usage',
      hint: 'See `flotilla config list`.',
    });
  }
  // An explicit --context means that context, whatever the shell has exported.
  const fromEnv = flags.context === undefined ? env : { url: null, token: null };
  const sources: [string | null | undefined, string][] = [
    [flags.url, '--url'],
    [fromEnv.url, 'FLOTILLA_URL'],
    [context?.url, `context "${name ?? ''}"`],
  ];
  const [found, url_from] = sources.find(([value]) => typeof value === 'string') ?? [null, ''];
  if (typeof found !== 'string') {
    throw new CliError('usage', 'No coordinator is configured.', {
      code: 'no_coordinator',
      hint: 'Run `flotilla login --url http://…`, or set FLOTILLA_URL and FLOTILLA_TOKEN.',
    });
  }
  const url = checkUrl(found, url_from);
  const explicit = flags.token ?? fromEnv.token;
  // A stored token goes to the coordinator it was stored for and nowhere else.
  const stored = context !== undefined && new URL(context.url).origin === new URL(url).origin ? context.token : null;
  if (explicit === null && stored === null && context !== undefined) {
    throw new CliError(
      'auth',
      `The token of context "${name ?? ''}" belongs to ${context.url}; it is not sent to ${url}.`,
      {
        code: 'no_token',
        hint: 'Give a token with --token-file or FLOTILLA_TOKEN, or run `flotilla login --url … --name …`.',
      },
    );
  }
  return { url, url_from, token: explicit ?? stored };
};
