import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Redis } from 'ioredis';

import { until } from './until.ts';

/** A redis-server on a unix socket that keeps nothing on disk: what it forgets at its end is a full loss. */
export type TestRedis = {
  url: string;
  start(): Promise<void>;
  /** kill -9, and everything in it is gone. */
  kill(): Promise<void>;
  /** FLUSHALL. */
  flush(): Promise<void>;
  close(): Promise<void>;
};

export const createRedis = (binary: string): TestRedis => {
  const dir = mkdtempSync(path.join(tmpdir(), 'flotilla-redis-'));
  const socket = path.join(dir, 'redis.sock');
  let child: ChildProcess | null = null;
  const ask = async (command: 'ping' | 'flushall'): Promise<boolean> => {
    const client = new Redis(socket, { lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => {}); // it may not listen yet
    try {
      await client.connect();
      await client.call(command);
      return true;
    } catch {
      return false;
    } finally {
      client.disconnect();
    }
  };
  const kill = async () => {
    if (child === null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    child = null;
  };
  return {
    url: `unix://${socket}`,
    start: async () => {
      const settings = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', dir];
      child = spawn(binary, settings, { stdio: 'ignore' });
      await until('Redis to answer', () => ask('ping'));
    },
    kill,
    flush: async () => {
      if (!(await ask('flushall'))) throw new Error('FLUSHALL was refused');
    },
    close: async () => {
      await kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
};
