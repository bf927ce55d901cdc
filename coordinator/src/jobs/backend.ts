import { createPostgresBackend, PostgresConnection, Queue, Worker, withBackend } from 'bullmq';
import { Redis } from 'ioredis';

import type { ConnectionFacts } from '../db/client.ts';

/** Queue and Worker of BullMQ, bound to where jobs live. */
export type JobBackend = {
  Queue: new (
    name: string,
    options: { connection: unknown },
  ) => Pick<Queue, 'getJobScheduler' | 'upsertJobScheduler' | 'on' | 'close'>;
  Worker: new (
    name: string,
    run: () => Promise<unknown>,
    options: { connection: unknown; concurrency: number },
  ) => Pick<Worker, 'on' | 'close'>;
  connection: unknown;
  /** A farewell to it would not be answered. */
  isGone(): boolean;
  close(): Promise<void>;
};

/** Redis when REDIS_URL names one, else BullMQ's own schema in our Postgres (its migrations run here). */
export const openJobBackend = (facts: ConnectionFacts, redis_url: string | undefined): Promise<JobBackend> =>
  redis_url === undefined ? openPostgres(facts) : openRedis(redis_url);

const openRedis = async (url: string): Promise<JobBackend> => {
  // ioredis takes a socket as a path, with the same options behind a question mark; `unix:` it would take for a host.
  const connection = new Redis(url.replace(/^unix:\/\//, ''), { maxRetriesPerRequest: null, lazyConnect: true });
  connection.on('error', () => {
    // Reported by the queue and the worker; without a listener here it would end the process.
  });
  try {
    await connection.connect();
  } catch (error) {
    connection.disconnect(); // or it would go on trying beside the next attempt
    throw error;
  }
  const isGone = () => connection.status !== 'ready';
  return { Queue, Worker, connection, isGone, close: async () => connection.disconnect() };
};

const openPostgres = async (facts: ConnectionFacts): Promise<JobBackend> => {
  const connection = {
    ...('url' in facts ? { connectionString: asLibpqMeans(facts.url) } : facts),
    max: 3,
    application_name: 'flotilla-jobs',
  };
  const setup = new PostgresConnection({ ...connection, migrate: true });
  try {
    await setup.waitUntilReady();
  } finally {
    await setup.close();
  }
  const bound = { ...withBackend(createPostgresBackend), connection, isGone: () => false, close: async () => {} };
  return bound as unknown as JobBackend; // same classes, other connection type
};

/** node-postgres takes `sslmode=require` for `verify-full` unless told otherwise; postgres.js and libpq do not. */
const asLibpqMeans = (url: string): string => (/[?&]sslmode=/.test(url) ? `${url}&uselibpqcompat=true` : url);
