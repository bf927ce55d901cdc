import { ApiError, type CallOptions, type Client, createClient } from '@flotilla/shared';
import type { Command } from 'commander';

import { type Cli, say } from './cli.ts';
import { type Connection, contextsPath, resolveConnection } from './config.ts';
import { readContexts } from './contexts.ts';
import { CliError, usageError } from './exit.ts';
import type { Format } from './output/format.ts';
import { createOutput, type Output } from './output/output.ts';
import { readTokenFlags } from './secrets.ts';
import { cliTransport } from './transport.ts';
import { version } from './version.ts';

/** The options that every command has, and `--dry-run`/`--yes` of those that change something. */
export type GlobalOptions = {
  output?: Format;
  json?: boolean;
  url?: string;
  token?: string;
  tokenFile?: string;
  context?: string;
  input: boolean;
  dryRun?: boolean;
  yes?: boolean;
};

/** What a verb works with. */
export type Session = {
  cli: Cli;
  signal: AbortSignal;
  options: GlobalOptions;
  connection: Connection;
  client: Client;
  out: Output;
  say: (line: string) => void;
  /** Options of a call that creates: the key makes sending it twice harmless. */
  creation: () => CallOptions;
};

export const globalOptions = (command: Command): GlobalOptions => command.optsWithGlobals<GlobalOptions>();

export const outputOf = (cli: Cli, options: GlobalOptions): Output =>
  createOutput(cli, options.output ?? (options.json === true ? 'json' : 'table'));

export const userAgent = `flotilla-cli/${version}`;

/** A client for a connection; everything this program sends goes through here. */
export const connect = (cli: Cli, connection: Connection, dry_run = false): Client =>
  createClient({
    base_url: connection.url,
    token: connection.token,
    user_agent: userAgent,
    transport: cliTransport(cli, { connection, dry_run, show: (text) => cli.stdout.write(`${text}\n`) }),
  });

export const openConnection = async (cli: Cli, options: GlobalOptions): Promise<Connection> => {
  const token = await readTokenFlags(cli, options);
  const file = await readContexts(contextsPath(cli.env), (line) => say(cli, line));
  const connection = resolveConnection({ url: options.url, token, context: options.context }, cli.env, file);
  if (connection.token !== null) return connection;
  throw new CliError('auth', `There is no token for ${connection.url}.`, {
    code: 'no_token',
    hint: 'Run `flotilla login --url …`, or set FLOTILLA_TOKEN.',
  });
};

export const openSession = async (cli: Cli, command: Command): Promise<Session> => {
  const options = globalOptions(command);
  const connection = await openConnection(cli, options);
  return {
    cli,
    signal: cli.signal,
    options,
    connection,
    client: connect(cli, connection, options.dryRun),
    out: outputOf(cli, options),
    say: (line) => say(cli, line),
    creation: () => ({ headers: { 'idempotency-key': cli.randomUUID() } }),
  };
};

export const isNotFound = (error: unknown): boolean =>
  error instanceof ApiError && (error.status === 404 || error.status === 410);

/** Checks a body against the contract before anything is sent, so that a typing error is a usage error. */
export const checkInput = <T>(
  schema: {
    safeParse: (value: unknown) => { success: boolean; error?: { issues: { path: PropertyKey[]; message: string }[] } };
  },
  value: T,
): T => {
  const { success, error } = schema.safeParse(value);
  if (success || error === undefined) return value;
  const [issue] = error.issues;
  throw usageError(
    `${issue?.path.map(String).join('.') ?? 'input'}: ${issue?.message ?? 'not valid'}.`,
    'Add --help to see what is possible.',
  );
};
