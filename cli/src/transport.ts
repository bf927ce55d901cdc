import { fetchTransport, type Transport, type TransportRequest } from '@flotilla/shared';

import type { Cli } from './cli.ts';
import type { Connection } from './config.ts';
import { CliError, DryRunDone, UnreachableError } from './exit.ts';
import { describeRequest } from './output/request.ts';

/** How long the head of an answer may take. Bodies may take as long as they like: logs and events are followed. */
const ANSWER_MS = 30_000;

const codeOf = (error: unknown): string => {
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  if (!(error instanceof Error)) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  if (error.message === 'bad port') return 'BAD_PORT';
  return codeOf(error.cause);
};

const troubles: Record<string, [string, string]> = {
  ECONNREFUSED: ['Nothing answers at %u (connection refused).', 'Is the coordinator running there?'],
  ENOTFOUND: ['The host name of %u is unknown.', 'Is it spelled right, and is the network up?'],
  EAI_AGAIN: ['The host name of %u cannot be looked up now.', 'Is the network up?'],
  EHOSTUNREACH: ['There is no way to reach %u.', 'Is the network up?'],
  ECONNRESET: ['%u closed the connection without an answer.', 'Try again; a proxy or a restart may have cut it.'],
  UND_ERR_SOCKET: ['%u closed the connection without an answer.', 'Try again; a proxy or a restart may have cut it.'],
  UND_ERR_CONNECT_TIMEOUT: ['%u does not answer (connect timeout).', 'Is a firewall between?'],
  BAD_PORT: [
    'The port of %u belongs to another protocol, and fetch refuses to use it.',
    'Let the coordinator listen elsewhere.',
  ],
  ETIMEDOUT: ['%u does not answer (connect timeout).', 'Is a firewall between?'],
};

/** Turns a failed fetch into a sentence that names the address, where it came from, and the remedy. */
const explainUnreachable = (
  error: unknown,
  { url, url_from }: Pick<Connection, 'url' | 'url_from'>,
): UnreachableError => {
  const code = codeOf(error);
  const certificate = /CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO_/.test(code);
  const [sentence, remedy] = certificate
    ? ['The certificate of %u is not trusted.', 'Point NODE_EXTRA_CA_CERTS to the file of your certificate authority.']
    : (troubles[code] ?? ['%u cannot be reached.', 'Is the coordinator running there?']);
  return new UnreachableError('failed', sentence.replace('%u', url), {
    code: code === '' ? 'unreachable' : code.toLowerCase(),
    hint: `${remedy} The address comes from ${url_from}; choose another with --url, FLOTILLA_URL or \`flotilla config use\`.`,
    cause: error,
  });
};

const attempt = async (request: TransportRequest, cli: Cli, connection: Connection): Promise<Response> => {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ANSWER_MS);
  const outer = request.signal === undefined ? [cli.signal] : [cli.signal, request.signal];
  try {
    return await fetchTransport({ ...request, signal: AbortSignal.any([...outer, late.signal]) });
  } catch (error) {
    for (const signal of outer) signal.throwIfAborted();
    if (late.signal.aborted) {
      throw new CliError('timeout', `${connection.url} took more than ${ANSWER_MS / 1000} s to answer.`, {
        code: 'answer_timeout',
      });
    }
    throw explainUnreachable(error, connection);
  } finally {
    clearTimeout(timer);
  }
};

export type TransportOptions = { connection: Connection; dry_run: boolean; show: (text: string) => void };

/**
 * The one way out of this program. A dry run prints what would change something instead of sending it; a creation that
 * got no answer is sent once more, which its Idempotency-Key makes safe.
 */
export const cliTransport = (cli: Cli, { connection, dry_run, show }: TransportOptions): Transport => {
  return async (request) => {
    if (dry_run && request.method !== 'GET') {
      show(describeRequest(request));
      throw new DryRunDone();
    }
    try {
      return await attempt(request, cli, connection);
    } catch (error) {
      if (!(error instanceof UnreachableError) || request.headers['idempotency-key'] === undefined) throw error;
      return attempt(request, cli, connection);
    }
  };
};
