import { EmbeddedPostgresError } from './db/embedded/index.ts';
import { SchemaTooNewError } from './db/migrate.ts';
import { ConfigError } from './config.ts';

const systemMessages: Record<string, string> = {
  EADDRINUSE: 'the address is already in use; choose another FLOTILLA_PORT (0 takes a free one)',
  EACCES: 'this account may not listen there; choose a FLOTILLA_PORT above 1023',
  EADDRNOTAVAIL: 'this machine does not have that address; check FLOTILLA_HOST',
  ECONNREFUSED:
    'nothing listens at DATABASE_URL or REDIS_URL; start it, or unset the variable to use the bundled Postgres',
  ENOTFOUND: 'the host name of DATABASE_URL or REDIS_URL is unknown',
  '28P01': 'Postgres refused the password of DATABASE_URL',
  '3D000': 'the database named in DATABASE_URL does not exist; create it first',
};

/** What to tell a person when the coordinator cannot start: a sentence and a remedy; null when it is a bug of ours. */
export const explainStartFailure = (error: unknown): string | null => {
  if (error instanceof ConfigError || error instanceof SchemaTooNewError) return error.message;
  if (error instanceof EmbeddedPostgresError)
    return error.hint === undefined ? error.message : `${error.message}\n${error.hint}`;
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  const remedy = systemMessages[code];
  return remedy === undefined ? null : `${error instanceof Error ? error.message : code}: ${remedy}`;
};
