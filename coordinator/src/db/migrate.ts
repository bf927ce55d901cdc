import { readFileSync } from 'node:fs';
import path from 'node:path';

import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import { z } from 'zod';

import { connect, type ConnectionFacts } from './client.ts';

/** 'flot' as a number: one migration at a time over all coordinators of a database. */
const MIGRATION_LOCK = 0x666c6f74;

const Journal = z.object({ entries: z.array(z.object({ when: z.number(), tag: z.string() })) });

export class SchemaTooNewError extends Error {
  override name = 'SchemaTooNewError';
}

/** Brings the schema up to this build. Refuses a database that a newer build has already changed. */
export const migrateDatabase = async (facts: ConnectionFacts, folder: string): Promise<void> => {
  const pool = connect(facts, { max: 1, name: 'flotilla-migrate' });
  try {
    await pool`set statement_timeout = 0`;
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
