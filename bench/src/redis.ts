import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { Redis } from 'ioredis';

import { makeFolder, startProgram } from './coordinator.ts';
import type { Scope } from './scope.ts';

/** The one that `make test-external` uses; deploy/checks/servers.mjs installs it. */
const REDIS = process.env.FLOTILLA_TEST_REDIS || '/usr/bin/redis-server';

export const hasRedis = (): boolean => existsSync(REDIS);

/** A Redis on a unix socket that keeps nothing, or, with `aof`, appends to a file that is synced every second. */
export const startRedis = async (
  scope: Scope,
  aof: boolean,
): Promise<{ socket: string; flush: () => Promise<unknown> }> => {
  const dir = await makeFolder(scope);
  const socket = join(dir, 'redis.sock');
  const keep = aof ? ['--appendonly', 'yes', '--appendfsync', 'everysec'] : ['--appendonly', 'no'];
  const settings = ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', dir, ...keep];
  const { child } = startProgram(scope, [REDIS, ...settings], {});
  child.stdout.resume();
  // It tries again until the server listens.
  const client = new Redis(socket, { retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => {});
  scope.defer(() => client.disconnect());
  await Promise.race([
    client.ping(),
    once(child, 'exit').then(() => {
      throw new Error('redis-server ended at its start');
    }),
  ]);
  return { socket, flush: () => client.flushall() };
};
