import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ExternalTemplate } from './external-template.ts';
import { pickPort } from './port.ts';
import { endProcessesOf } from './processes.ts';
import { elapse, until } from './until.ts';

/** How to reach the database of a coordinator, as postgres.js takes it. */
export type Connection = { host: string; port: number; user: string; password?: string; database: string };

/** A Postgres that is not the coordinator's: somebody else starts it, and starts it again when it dies. */
export type ExternalPostgres = {
  cluster: string;
  url: string;
  connection: Connection;
  start(): Promise<void>;
  /** Shuts it down for good and removes it. */
  stop(): Promise<void>;
  logs(): string;
};

/** What systemd waits before it starts a service again. */
const RESTART_MS = 100;

/** A server of its own for one fleet, not started yet. */
export const createExternalPostgres = async (template: ExternalTemplate): Promise<ExternalPostgres> => {
  const { bin, ids, login } = template;
  const dir = mkdtempSync(join(tmpdir(), 'fl-pg-'));
  chmodSync(dir, 0o711);
  const cluster = join(dir, 'cluster');
  const { status, stderr } = spawnSync('cp', ['-a', template.cluster, cluster], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot copy the cluster: ${stderr}`);
  const port = await pickPort();
  const connection = { host: '127.0.0.1', port, ...login, database: 'flotilla' };
  let said = '';
  const over = new AbortController();
  let watch: Promise<void> = Promise.resolve();
  let child: ChildProcess | null = null;
  const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=', 'max_connections=200'];
  const argv = ['-D', cluster, ...settings.flatMap((setting) => ['-c', setting])];

  const keepUp = async () => {
    while (!over.signal.aborted) {
      child = spawn(join(bin, 'postgres'), argv, { ...ids, cwd: '/', env: {}, stdio: ['ignore', 'ignore', 'pipe'] });
      child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
      await once(child, 'exit');
      await elapse(RESTART_MS);
    }
  };
  return {
    cluster,
    connection,
    url: `postgres://${login.user}:${login.password}@127.0.0.1:${port}/flotilla`,
    start: async () => {
      watch = keepUp();
      await until('the external Postgres to listen', () => said.includes('ready to accept connections'));
    },
    stop: async () => {
      over.abort();
      child?.kill('SIGCONT');
      child?.kill('SIGINT'); // a fast shutdown
      await watch;
      await endProcessesOf(dir); // backends that outlived a killed postmaster
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
    },
    logs: () => `--- external Postgres\n${said}`,
  };
};
