import type { ConnectionFacts, Sql } from '../db/client.ts';
import { applyMigrations, type Migration, MIGRATION_LOCK, readMigrations } from '../db/migrate.ts';
import { clearDatabase, countObjects, isFlotillas } from './clear.ts';
import { withConnection } from './connection.ts';
import { copyIn, type CopyIn, setTextFormat } from './copy.ts';
import { AdminError } from './error.ts';
import type { Header } from './format.ts';
import { type Era, openNewEra } from './new-era.ts';
import { checkBackup, readBackup } from './read-backup.ts';

/** A checked backup, and how to get from its schema to that of this build. */
export type RestorePlan = { file: string; header: Header; before: Migration[]; after: Migration[] };
export type RestoreOptions = { force: boolean; by: string; random: () => number; signal: AbortSignal };
export type RestoreSummary = { header: Header; rows: number; skipped: string[]; era: Era };

/** Checks all of it before anything is started or changed: the file, and that this build knows its schema. */
export const planRestore = async (file: string, migrations_folder: string): Promise<RestorePlan> => {
  const { header } = await checkBackup(file);
  const migrations = readMigrations(migrations_folder);
  const { when, hash } = header.migration;
  const at = migrations.findIndex((migration) => migration.folderMillis === when);
  if (at === -1 || migrations[at]?.hash !== hash) {
    const newer = migrations.every((migration) => migration.folderMillis < when);
    const made = `${file} was made by Flotilla ${header.flotilla_version}`;
    throw new AdminError(
      newer
        ? `${made}, whose schema is newer than this build's; restore it with that version or a later one.`
        : `${made}, whose schema this build does not know; restore it with that version.`,
    );
  }
  return { file, header, before: migrations.slice(0, at + 1), after: migrations.slice(at + 1) };
};

/** Replaces the database by the backup in one transaction: after a crash at any point it is as before, or restored. */
export const restoreDatabase = (
  facts: ConnectionFacts,
  plan: RestorePlan,
  options: RestoreOptions,
): Promise<RestoreSummary> =>
  withConnection(facts, { name: 'flotilla-restore', signal: options.signal }, (pool) =>
    pool.begin((sql) => restoreIn(sql, plan, options)),
  );

const restoreIn = async (
  sql: Sql,
  plan: RestorePlan,
  { force, by, random }: RestoreOptions,
): Promise<RestoreSummary> => {
  await setTextFormat(sql);
  await refuseCompany(sql);
  const used_epoch = await clearTarget(sql, plan.before, force);
  await applyMigrations(sql, plan.before);
  const constraints = await dropForeignKeys(sql);
  const { rows, skipped } = await loadRows(sql, plan);
  for (const { table_name, name, definition } of constraints)
    await sql.unsafe(`alter table ${table_name} add constraint ${name} ${definition}`);
  await setSequences(sql, plan.header.sequences);
  await applyMigrations(sql, plan.after);
  const era = await openNewEra(sql, { header: plan.header, used_epoch, by, random });
  // Without statistics the first claims on a large queue would read all of it.
  await sql`analyze`;
  return { header: plan.header, rows, skipped, era };
};

/** A coordinator that starts from here on waits for the lock, as for a migration; one that runs already is refused. */
const refuseCompany = async (sql: Sql): Promise<void> => {
  const [lock] = await sql<{ held: boolean }[]>`select pg_try_advisory_xact_lock(${MIGRATION_LOCK}) as held`;
  const [other] = await sql<{ count: number }[]>`
    select count(*)::int as count from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and application_name in ('flotilla', 'flotilla-jobs')`;
  if (lock?.held === true && other?.count === 0) return;
  throw new AdminError('A coordinator uses this database. Stop it (all of them) first, then restore.');
};

/** Leaves an empty database. Answers the highest epoch that the old one gave out, 0 if there was none. */
const clearTarget = async (sql: Sql, migrations: Migration[], force: boolean): Promise<number> => {
  if ((await countObjects(sql)) === 0) return 0;
  if (!(await isFlotillas(sql, migrations)))
    throw new AdminError(
      "This database holds something that is not Flotilla's; name an empty one in DATABASE_URL. --force does not change that.",
    );
  if (!force)
    throw new AdminError(
      'This database is not empty. Back it up first, then add --force: all of it is replaced by the backup.',
    );
  const [epochs] = await sql<{ last_value: number }[]>`select last_value from public.epochs`;
  await clearDatabase(sql);
  return epochs?.last_value ?? 0;
};

type Constraint = { table_name: string; name: string; definition: string };

/** Rows come table by table, in no order that foreign keys would like. They are put back, and checked, afterwards. */
const dropForeignKeys = async (sql: Sql): Promise<Constraint[]> => {
  const constraints = await sql<Constraint[]>`
    select conrelid::regclass::text as table_name, quote_ident(conname) as name, pg_get_constraintdef(oid) as definition
    from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace order by conname`;
  for (const { table_name, name } of constraints) await sql.unsafe(`alter table ${table_name} drop constraint ${name}`);
  return constraints;
};

const loadRows = async (sql: Sql, plan: RestorePlan): Promise<{ rows: number; skipped: string[] }> => {
  const known = await sql<{ name: string }[]>`
    select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'`;
  const names = new Set(known.map(({ name }) => name));
  // Some migrations bring rows; the backup has them, as they are by now.
  for (const name of names) await sql`delete from ${sql(name)}`;
  const skipped: string[] = [];
  let open: CopyIn | null = null;
  try {
    for await (const part of readBackup(plan.file)) {
      if (part.kind === 'data') await open?.write(part.bytes);
      if (part.kind === 'table' || part.kind === 'end') {
        await open?.end();
        open = null;
      }
      if (part.kind === 'table') {
        if (names.has(part.table.name)) open = await copyIn(sql, part.table);
        else skipped.push(part.table.name);
      }
      if (part.kind === 'end') return { rows: part.rows, skipped };
    }
    throw new Error('a backup without end'); // readBackup throws instead
  } catch (error) {
    open?.abort(error);
    throw error;
  }
};

const setSequences = async (sql: Sql, sequences: Header['sequences']): Promise<void> => {
  for (const [name, value] of Object.entries(sequences))
    await sql`select setval(to_regclass(${`public.${name}`}), ${value}) where to_regclass(${`public.${name}`}) is not null`;
};
