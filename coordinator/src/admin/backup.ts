import { createHash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

import type { ConnectionFacts, Sql } from '../db/client.ts';
import { MIGRATION_LOCK } from '../db/migrate.ts';
import { VERSION } from '../version.ts';
import { withConnection } from './connection.ts';
import { copyOut, setTextFormat } from './copy.ts';
import { AdminError } from './error.ts';
import { countRows, FORMAT, frame, type Header, MAGIC, type Table, type Trailer } from './format.ts';

/** Hex-coded logs shrink well at any level; the fastest one keeps up with Postgres. */
const GZIP_LEVEL = 1;

export type BackupSummary = { tables: number; rows: number };

/** Writes a backup to a file that appears whole or not at all, readable by its owner alone: it holds token digests. */
export const backupToFile = async (
  facts: ConnectionFacts,
  file: string,
  signal: AbortSignal,
): Promise<BackupSummary> => {
  const partial = `${file}.partial`;
  await rm(partial, { force: true });
  const handle = await open(partial, 'wx', 0o600);
  try {
    // Flushed to the disk and closed by the stream, before the rename.
    const summary = await writeBackup(facts, handle.createWriteStream({ flush: true }), signal);
    await rename(partial, file);
    await syncDirectory(path.dirname(file));
    return summary;
  } catch (error) {
    await handle.close();
    await rm(partial, { force: true });
    throw error;
  }
};

/** Without this a power cut can undo the rename. */
const syncDirectory = async (directory: string): Promise<void> => {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/** Writes everything as of one moment, while coordinators go on working. */
export const writeBackup = (facts: ConnectionFacts, sink: Writable, signal: AbortSignal): Promise<BackupSummary> =>
  withConnection(facts, { name: 'flotilla-backup', signal }, async (pool, leave) => {
    const [journal] = await pool`select to_regclass('drizzle.__drizzle_migrations') as name`;
    if (journal?.name == null) throw new AdminError('There is nothing to back up: no coordinator used this database.');
    // Waits for a migration that runs. Not in the transaction, whose snapshot would be from before the wait.
    await pool`set statement_timeout = 0`;
    await pool`select pg_advisory_lock_shared(${MIGRATION_LOCK})`;
    return pool.begin('isolation level repeatable read read only', async (sql) => {
      const header = await readHeader(sql);
      const trailer: Trailer = { header_sha256: '', tables: {} };
      try {
        await pipeline(writeFrames(sql, header, trailer), createGzip({ level: GZIP_LEVEL }), sink, { signal });
      } catch (error) {
        // A COPY that nobody reads to its end blocks the connection, the rollback included.
        await leave(error);
      }
      const written = Object.values(trailer.tables);
      return { tables: written.length, rows: written.reduce((sum, { rows }) => sum + rows, 0) };
    });
  });

/** What the database holds, in one snapshot, and locked against migrations until the transaction ends. */
const readHeader = async (sql: Sql): Promise<Header> => {
  await setTextFormat(sql);
  const [migration] = await sql<{ when: number; hash: string; now: string }[]>`
    select created_at as when, hash, now() as now from drizzle.__drizzle_migrations order by created_at desc limit 1`;
  if (migration === undefined) throw new AdminError('There is nothing to back up: this database is empty.');
  // Generated columns are computed again; what an extension brought comes with the extension.
  const tables = await sql<Table[]>`
    select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
      and not exists (select 1 from pg_depend d where d.objid = c.oid and d.deptype = 'e')
    group by c.relname order by c.relname`;
  // All at once, while no migration runs: one that starts later waits for us, and holds nothing that we need.
  await sql`lock table ${sql(tables.map(({ name }) => name))} in access share mode`;
  await sql`select pg_advisory_unlock_shared(${MIGRATION_LOCK})`;
  // Sequences stand outside of snapshots. Read after it was taken they are at or beyond every number in the rows.
  const sequences = await sql<{ name: string; value: number }[]>`
    select sequencename as name, last_value as value from pg_sequences where schemaname = 'public' and last_value is not null`;
  return {
    flotilla_version: VERSION,
    created_at: migration.now,
    migration: { when: migration.when, hash: migration.hash },
    tables: tables.map(({ name, columns }) => ({ name, columns })),
    sequences: Object.fromEntries(sequences.map(({ name, value }) => [name, value])),
  };
};

/** The file before it is compressed. Fills `trailer` on the way. */
async function* writeFrames(sql: Sql, header: Header, trailer: Trailer): AsyncGenerator<Buffer> {
  yield Buffer.from(`${MAGIC} ${FORMAT}\n`);
  const head = JSON.stringify(header);
  trailer.header_sha256 = createHash('sha256').update(head).digest('hex');
  yield frame('header', head);
  for (const table of header.tables) {
    yield frame('table', JSON.stringify(table));
    const hash = createHash('sha256');
    let rows = 0;
    let bytes = 0;
    for await (const piece of copyOut(sql, table)) {
      hash.update(piece);
      bytes += piece.length;
      rows += countRows(piece);
      yield frame('data', piece);
    }
    trailer.tables[table.name] = { rows, bytes, sha256: hash.digest('hex') };
  }
  yield frame('trailer', JSON.stringify(trailer));
}
