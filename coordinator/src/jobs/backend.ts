import { createPostgresBackend, PostgresConnection, Queue, Worker, withBackend } from 'bullmq';
import { Redis } from 'ioredis';

import type { ConnectionFacts } from '../db/client.ts';

/** Queue and Worker of BullMQ, bound to where jobs live. */
export type JobBackend = {
  Queue: new (name: string, options: { connection: unknown }) => Pick<Queue, 'upsertJobScheduler' | 'on' | 'close'>;
  Worker: new (
    name: string,
    run: () => Promise<unknown>,
    options: { connection: unknown; concurrency: number },
  ) => Pick<Worker, 'on' | 'close'>;
  connection: unknown;
  close(): Promise<void>;
};

/** Redis when REDIS_URL names one, else BullMQ's own schema in our Postgres (its migrations run here). */
export const openJobBackend = async (facts: ConnectionFacts, redis_url: string | undefined): Promise<JobBackend> => {
  if (redis_url !== undefined) {
    const connection = new Redis(redis_url, { maxRetriesPerRequest: null, lazyConnect: true });
    connection.on('error', () => {
      // Reported by the queue and the worker; without a listener here it would end the process.
    });
    await connection.connect();
    return { Queue, Worker, connection, close: async () => connection.disconnect() };
  }
  const connection = {
    ...('url' in facts ? { connectionString: facts.url } : facts),
    max: 3,
    application_name: 'flotilla-jobs',
  };
  const setup = new PostgresConnection({ ...connection, migrate: true });
  await setup.waitUntilReady();
  await setup.close();
  return { ...withBackend(createPostgresBackend), connection, close: async () => {} } as unknown as JobBackend; // same classes, other connection type
};
