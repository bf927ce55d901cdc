import { backoffDelay, sleep, whenAborted } from '@flotilla/shared';
import type { Logger } from 'pino';

import type { Config } from '../config.ts';
import { connect, type ConnectionFacts } from './client.ts';
import { readDatabaseUrl } from './database-url.ts';
import { type EmbeddedPostgres, findRunningPostgres, startEmbeddedPostgres } from './embedded/index.ts';

/** Where Postgres is, and the task that keeps it there. */
export type ProvidedDatabase = {
  facts: ConnectionFacts;
  /** Restarts the bundled Postgres whenever it dies; ends with the signal. Nothing to do for an external one. */
  supervise(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
};

const DATABASE = 'flotilla';

/** The external database when DATABASE_URL names one, else the bundled Postgres in the data directory. */
export const provideDatabase = async (config: Config, log: Logger, signal: AbortSignal): Promise<ProvidedDatabase> => {
  if (config.DATABASE_URL !== undefined) {
    return { facts: readDatabaseUrl(config.DATABASE_URL), supervise: whenAborted, stop: async () => {} };
  }
  const start = () =>
    startEmbeddedPostgres({
      data_dir: config.FLOTILLA_DATA_DIR,
      log: (line) => log.debug({ part: 'postgres' }, line),
      signal,
    });
  let running = await start();
  if (running.recovered !== null) log.warn(running.recovered);
  await createDatabase(running);
  return {
    facts: running.connection(DATABASE),
    supervise: async (until) => {
      const stopped = whenAborted(until);
      for (let failures = 0; !until.aborted;) {
        const exit = await Promise.race([running.exited, stopped]);
        if (until.aborted) return;
        log.error({ exit }, 'the bundled Postgres ended; starting it again');
        // Gives up the data directory, which the next start claims anew.
        await running.stop();
        try {
          running = await start();
          failures = 0;
        } catch (error) {
          if (until.aborted) return;
          log.error({ error }, 'the bundled Postgres does not start; trying again');
          await sleep(500 + backoffDelay(failures++, { min_ms: 200, max_ms: 10_000 }), until);
        }
      }
    },
    stop: () => running.stop(),
  };
};

/** The same database for a look at it: of a coordinator that runs if there is one, else started for the purpose. */
export const reachDatabase = async (
  config: Config,
  log: Logger,
  signal: AbortSignal,
): Promise<Pick<ProvidedDatabase, 'facts' | 'stop'>> => {
  if (config.DATABASE_URL === undefined) {
    const facts = await findRunningPostgres(config.FLOTILLA_DATA_DIR, DATABASE, signal);
    if (facts !== null) return { facts, stop: async () => {} };
  }
  return provideDatabase(config, log, signal);
};

const createDatabase = async (postgres: EmbeddedPostgres): Promise<void> => {
  const pool = connect(postgres.connection('postgres'), { max: 1, name: 'flotilla-setup' });
  try {
    const [existing] = await pool`select 1 from pg_database where datname = ${DATABASE}`;
    if (existing === undefined) await pool`create database ${pool(DATABASE)}`;
  } finally {
    await pool.end({ timeout: 5 });
  }
};
