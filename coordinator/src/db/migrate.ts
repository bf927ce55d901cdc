import { readFileSync } from 'node:fs';
import path from 'node:path';

import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator';
import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import { z } from 'zod';

import { connect, type ConnectionFacts, type Sql } from './client.ts';

/** 'flot' as a number: one migration at a time over all coordinators of a database. */
export const MIGRATION_LOCK = 0x666c6f74;

const Journal = z.object({ entries: z.array(z.object({ when: z.number(), tag: z.string() })) });

export class SchemaTooNewError extends Error {
  override name = 'SchemaTooNewError';
}

/** Brings the schema up to this build. Refuses a database that a newer build has already changed. */
export const migrateDatabase = async (facts: ConnectionFacts, folder: string): Promise<void> => {
  const pool = connect(facts, { max: 1, name: 'flotilla-migrate', lasting: true });
  try {
    await pool`set statement_timeout = 0`;
    // Killed in the middle, we must not hold the lock of the next start until a long statement has ended. A Postgres on
    // Windows cannot look, and refuses.
    await pool`set client_connection_check_interval = 1000`.catch(() => {});
    await pool`select pg_advisory_lock(${MIGRATION_LOCK})`;
    await refuseNewer(pool, folder);
    // drizzle replaces the parsers of the client it gets; this one serves nothing else.
    await migrate(drizzle(pool), { migrationsFolder: folder });
  } finally {
    await pool.end({ timeout: 5 });
  }
};

const refuseNewer = async (pool: ReturnType<typeof connect>, folder: string): Promise<void> => {
  const journal = Journal.parse(JSON.parse(readFileSync(path.join(folder, 'meta/_journal.json'), 'utf8')));
  const newest = Math.max(...journal.entries.map((entry) => entry.when));
  const [table] = await pool`select to_regclass('drizzle.__drizzle_migrations') as name`;
  if (table?.name == null) return;
  const [row] = await pool`select max(created_at) as newest from drizzle.__drizzle_migrations`;
  if (row?.newest != null && Number(row.newest) > newest) {
    throw new SchemaTooNewError(
      'The database was migrated by a newer Flotilla; start that version, or restore a backup.',
    );
  }
};

export type Migration = MigrationMeta;

/** The migrations of this build, oldest first. */
export const readMigrations = (folder: string): Migration[] => readMigrationFiles({ migrationsFolder: folder });

/**
 * Applies migrations inside a transaction of the caller and notes them where drizzle does: what follows looks the same
 * to it. For a restore, which stops at the level of its backup and goes on once the rows are loaded.
 */
export const applyMigrations = async (sql: Sql, migrations: Migration[]): Promise<void> => {
  await sql`create schema if not exists drizzle`;
  await sql`create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint)`;
  for (const { sql: statements, hash, folderMillis } of migrations) {
    for (const statement of statements) await sql.unsafe(statement);
    await sql`insert into drizzle.__drizzle_migrations (hash, created_at) values (${hash}, ${folderMillis})`;
  }
};
