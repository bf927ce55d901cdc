import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import type { TestProject } from 'vitest/node';

import { connect } from '../../src/db/client.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded/index.ts';
import { migrateDatabase } from '../../src/db/migrate.ts';

const TEMPLATE = 'flotilla_template';
const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url));

export type PostgresFacts = { host: string; port: number; user: string; template: string };

declare module 'vitest' {
  interface ProvidedContext {
    postgres: PostgresFacts;
  }
}

/** One Postgres for all test files, with one migrated database that each file clones. */
const setup = async (project: TestProject): Promise<() => Promise<void>> => {
  const data_dir = mkdtempSync(path.join(tmpdir(), 'flotilla-test-'));
  const remove = () => rmSync(data_dir, { recursive: true, force: true });
  const lines: string[] = [];
  const running = await startEmbeddedPostgres({
    data_dir,
    log: (line) => void lines.push(line),
    // Nothing here has to survive a crash; what does has its own tests (embedded.test.ts).
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', autovacuum: 'off' },
  }).catch((error: unknown) => {
    remove();
    throw error;
  });
  const stop = async () => {
    await running.stop();
    remove();
  };
  try {
    const pool = connect(running.connection('postgres'), { max: 1, name: 'test-setup' });
    await pool`create database ${pool(TEMPLATE)}`;
    await pool.end({ timeout: 5 });
    await migrateDatabase(running.connection(TEMPLATE), MIGRATIONS);
  } catch (error) {
    await stop();
    throw error;
  }
  const { host, port, user } = running.connection(TEMPLATE);
  project.provide('postgres', { host, port, user, template: TEMPLATE });
  return stop;
};

export default setup;
