import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';

import { ApiError, ErrorBody, PROTOCOL_VERSION, type TransportRequest } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import type { Connection } from '../../config.ts';
import { usageError } from '../../exit.ts';
import { globalOptions, openConnection, outputOf, userAgent } from '../../session.ts';
import { cliTransport } from '../../transport.ts';
import { logWriter } from '../../watch/log.ts';
import { examples, mutates } from '../options.ts';

type Options = { data?: string; header?: string[] };

const methods = ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'];

/** Only a path: the token must not be talked into travelling to another host. */
const buildUrl = (base_url: string, path: string): string => {
  if (!/^\/(?!\/)[^\s\\]*$/.test(path))
    throw usageError(`"${path}" is not a path of the API.`, 'Write it like /tasks or /api/v1/tasks?limit=5.');
  return `${base_url}${/^\/(?:api|healthz|readyz|metrics)(?:[/?]|$)/.test(path) ? '' : '/api/v1'}${path}`;
};

const readBody = async (cli: Cli, data: string): Promise<string> => {
  const raw =
    data === '-' ? await text(cli.stdin) : data.startsWith('@') ? await readFile(data.slice(1), 'utf8') : data;
  try {
    JSON.parse(raw);
  } catch {
    throw usageError(
      'The body is not JSON.',
      'Write it like -d \'{"title": "Say hello"}\', -d @file or -d - for stdin.',
    );
  }
  return raw;
};

const parseHeaders = (lines: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    lines.map((line) => {
      const [, name, value] = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line) ?? [];
      if (name === undefined || value === undefined)
        throw usageError(`"${line}" is not a header.`, 'Write it like -H \'If-Match: "3"\'.');
      return [name.toLowerCase(), value];
    }),
  );

const buildRequest = async (
  cli: Cli,
  method: string,
  path: string,
  options: Options,
  connection: Connection,
): Promise<TransportRequest> => {
  const body = options.data === undefined ? {} : { body: await readBody(cli, options.data) };
  return {
    method,
    url: buildUrl(connection.url, path),
    headers: {
      accept: 'application/json, text/plain, text/event-stream',
      'flotilla-protocol': String(PROTOCOL_VERSION),
      'user-agent': userAgent,
      authorization: `Bearer ${connection.token ?? ''}`,
      ...(options.data === undefined ? {} : { 'content-type': 'application/json' }),
      ...(method === 'POST' ? { 'idempotency-key': cli.randomUUID() } : {}),
      ...parseHeaders(options.header ?? []),
    },
    ...body,
  };
};

const throwError = async (response: Response): Promise<never> => {
  const raw = await response.text();
  const parsed = ErrorBody.safeParse(tryJson(raw));
  throw new ApiError(response.status, parsed.success ? parsed.data : null, null);
};

const tryJson = (raw: string): unknown => {
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
};

export const addApi = (program: Command, cli: Cli): void => {
  const command = program
    .command('api <method> <path>')
    .description('Call the API as it is, with the token of the context');
  examples(
    mutates(command),
    'api GET /me',
    'api GET "/tasks?status=failed&limit=5"',
    `api POST /tasks -d '{"title": "Say hello"}'`,
  )
    .option('-d, --data <json>', 'body; @file reads a file, - reads stdin')
    .option('-H, --header <header>', 'further header (repeatable)', (value: string, before: string[] | undefined) => [
      ...(before ?? []),
      value,
    ])
    .action(async (name: string, path: string, options: Options, self: Command) => {
      const method = methods.find((known) => known === name.toUpperCase());
      if (method === undefined) throw usageError(`"${name}" is not a method.`, `Use one of ${methods.join(', ')}.`);
      const global = globalOptions(self);
      const connection = await openConnection(cli, global);
      const request = await buildRequest(cli, method, path, options, connection);
      const transport = cliTransport(cli, {
        connection,
        dry_run: global.dryRun === true,
        show: (shown) => cli.stdout.write(`${shown}\n`),
      });
      const response = await transport(request);
      if (!response.ok) await throwError(response);
      if (response.headers.get('content-type')?.includes('json') === true) {
        const value: unknown = await response.json();
        return outputOf(cli, global).value(value, () => JSON.stringify(value, null, 2));
      }
      const write = logWriter(cli.stdout);
      for await (const bytes of response.body ?? []) await write(bytes);
    });
};
