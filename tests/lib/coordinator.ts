import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { inject } from 'vitest';

import { type Connection, createExternalPostgres, type ExternalPostgres } from './external-postgres.ts';
import { pickPort } from './port.ts';
import { type Program, startProgram } from './processes.ts';
import type { Ended } from './processes.ts';
import { until } from './until.ts';

export const MAIN = join(import.meta.dirname, '../../coordinator/dist/main.js');

/** Fails with what to do when a bundle is not there: the gate builds it, a person runs one command. */
export const requireBundle = (path: string, workspace: string): void => {
  if (!existsSync(path)) throw new Error(`${path} is missing: run \`npm run build -w ${workspace}\` first`);
};

/** The protocol's durations, about thirty times shorter. Leases stay long: only SHORT_LEASES are meant to run out. */
const TIMINGS = {
  FLOTILLA_HEARTBEAT_MS: '300',
  FLOTILLA_SUSPECT_MS: '1500',
  FLOTILLA_LOST_MS: '3000',
  FLOTILLA_LEASE_MS: '60000',
  FLOTILLA_REQUEUE_GRACE_MS: '3000',
  FLOTILLA_RESCAN_MS: '500',
  FLOTILLA_SWEEP_MS: '200',
  FLOTILLA_ALIVE_MS: '300',
  FLOTILLA_GAP_MS: '2000',
  FLOTILLA_GAP_WAIT_MIN_MS: '500',
  FLOTILLA_GAP_WAIT_MAX_MS: '2000',
  FLOTILLA_RETRY_MIN_MS: '50',
  FLOTILLA_RETRY_MAX_MS: '500',
  FLOTILLA_SHUTDOWN_MS: '500',
};

/** For scenarios in which a lease has to run out. */
export const SHORT_LEASES = {
  FLOTILLA_SUSPECT_MS: '800',
  FLOTILLA_LOST_MS: '1500',
  FLOTILLA_LEASE_MS: '3000',
  FLOTILLA_REQUEUE_GRACE_MS: '1000',
};

export const ADMIN_TOKEN = 'flu_system-tests-admin-token-0123456789abcdef';

export type Coordinator = {
  url: string;
  data_dir: string;
  /** Starts it, again on the same data directory and port. */
  start(): Promise<void>;
  /** SIGTERM, and how it ended. */
  stop(): Promise<Ended>;
  /** kill -9; its Postgres lives on until somebody notices. */
  kill(): Promise<void>;
  running(): boolean;
  pid(): number;
  /** The process that listens for connections of its Postgres, bundled or external; null while there is none. */
  postmaster(): number | null;
  /** How to look into its database while that runs. */
  connection(): Connection;
  /** Ends its Postgres for good, if that is an external one; a bundled one ends with the coordinator. */
  close(): Promise<void>;
  logs(): string;
};

/**
 * `main` is another program than the one that was built: a copy with migrations of the test's own. `shared` is a database
 * of several coordinators, which somebody else starts and stops.
 */
export const createCoordinator = async (
  data_dir: string,
  env: Record<string, string>,
  main: string = MAIN,
  shared?: ExternalPostgres,
): Promise<Coordinator> => {
  requireBundle(main, 'coordinator');
  const port = await pickPort();
  const template = inject('external') ?? null; // some configurations provide nothing
  const own = shared !== undefined || template === null ? null : await createExternalPostgres(template);
  const external = shared ?? own;
  const database: Record<string, string> = external === null ? {} : { DATABASE_URL: external.url };
  const runs: Program[] = [];
  const current = (): Program => {
    const run = runs.at(-1);
    if (run === undefined) throw new Error('the coordinator was never started');
    return run;
  };
  const lock = () => readFileSync(join(external?.cluster ?? join(data_dir, 'postgres-18'), 'postmaster.pid'), 'utf8');
  const logs = () => runs.map((run, index) => `--- coordinator, start ${index + 1}\n${run.stderr()}`).join('\n');
  return {
    url: `http://127.0.0.1:${port}`,
    data_dir,
    start: async () => {
      const given = { FLOTILLA_PORT: String(port), FLOTILLA_DATA_DIR: data_dir, FLOTILLA_ADMIN_TOKEN: ADMIN_TOKEN };
      if (runs.length === 0) await own?.start();
      const run = startProgram([process.execPath, main], { ...TIMINGS, ...given, ...database, ...env });
      runs.push(run);
      await until('the coordinator to listen', () => !run.running() || run.stdout().includes('"event":"listening"'));
      if (!run.running()) throw new Error(`the coordinator ended at its start: ${run.stderr().slice(-2000)}`);
    },
    stop: () => {
      current().kill('SIGTERM');
      return current().exited;
    },
    kill: async () => {
      current().kill('SIGKILL');
      await current().exited;
    },
    running: () => runs.at(-1)?.running() ?? false,
    pid: () => current().pid,
    postmaster: () => {
      try {
        return Number.parseInt(lock(), 10);
      } catch {
        return null;
      }
    },
    // Peer authentication lets us into the bundled one, through its socket.
    connection: () =>
      external?.connection ?? { host: lock().split('\n')[4] ?? '', port: 5432, user: 'postgres', database: 'flotilla' },
    close: async () => own?.stop(),
    logs: () => (external === null ? logs() : `${external.logs().slice(-5_000)}\n${logs()}`),
  };
};
