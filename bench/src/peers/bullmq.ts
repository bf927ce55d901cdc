import { createPostgresBackend, type JobsOptions, PostgresConnection, Queue, Worker, withBackend } from 'bullmq';
import { Redis } from 'ioredis';

import { CONCURRENCY, type OpenPeer, type Peer } from './peer.ts';

/** What is done goes away, as the documentation recommends for production. */
const OPTIONS: JobsOptions = { removeOnComplete: true, removeOnFail: true };
const LOT = 1_000;

type Classes = { Queue: typeof Queue; Worker: typeof Worker };
type Connection = ConstructorParameters<typeof Queue>[1] extends (infer O) | undefined
  ? O extends { connection: infer C }
    ? C
    : never
  : never;

const openWith = (classes: Classes, connect: () => Connection, end: () => unknown): Peer => {
  const queue = new classes.Queue('bench', { connection: connect() });
  let worker: Worker | null = null;
  return {
    add: () => queue.add('trivial', {}, OPTIONS),
    addMany: async (count) => {
      for (let added = 0; added < count; added += LOT) {
        const lot = Array.from({ length: Math.min(LOT, count - added) }, () => ({
          name: 'trivial',
          data: {},
          opts: OPTIONS,
        }));
        await queue.addBulk(lot);
      }
    },
    work: async (ran) => {
      const process = async () => ran();
      worker = new classes.Worker('bench', process, { connection: connect(), concurrency: CONCURRENCY });
      await worker.waitUntilReady();
    },
    close: async () => {
      await worker?.close(true);
      await queue.close();
      await end();
    },
  };
};

export const bullmqOnRedis: OpenPeer = async ({ redis }) => {
  const connections: Redis[] = [];
  const connect = () => {
    const connection = new Redis(redis ?? '', { maxRetriesPerRequest: null });
    connections.push(connection);
    return connection as Connection;
  };
  return openWith({ Queue, Worker }, connect, () => connections.forEach((connection) => connection.disconnect()));
};

export const bullmqOnPostgres: OpenPeer = async ({ facts }) => {
  const connection = { ...facts, max: 20 };
  const setup = new PostgresConnection({ ...connection, migrate: true });
  await setup.waitUntilReady();
  await setup.close();
  // The same classes for another kind of connection; their types name Redis.
  const classes = withBackend(createPostgresBackend) as unknown as Classes;
  return openWith(
    classes,
    () => connection as unknown as Connection,
    () => {},
  );
};
