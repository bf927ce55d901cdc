import type { Sql } from '../db/client.ts';
import type { Migration } from '../db/migrate.ts';

/** Tables, sequences and views in the schema public, without those that an extension brought. */
export const countObjects = async (sql: Sql): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from pg_class c
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
      and not exists (select 1 from pg_depend d where d.objid = c.oid and d.deptype = 'e')`;
  return row?.count ?? 0;
};

/** Whether a Flotilla made this schema, of whatever version: its first migration never changes. */
export const isFlotillas = async (sql: Sql, migrations: Migration[]): Promise<boolean> => {
  const [journal] = await sql<{ found: boolean }[]>`
    select to_regclass('drizzle.__drizzle_migrations') is not null and to_regclass('public.epochs') is not null as found`;
  if (journal?.found !== true) return false;
  const [first] = await sql`select 1 from drizzle.__drizzle_migrations where hash = ${migrations[0]?.hash ?? ''}`;
  return first !== undefined;
};

/**
 * Drops what Flotilla made: everything in public, drizzle's journal, BullMQ's schema (it comes back at the next start).
 * The schema public itself stays: its owner and its grants are not ours.
 */
export const clearDatabase = async (sql: Sql): Promise<void> => {
  await sql.unsafe(`do $$
    declare one record;
    begin
      for one in
        select format('drop %s if exists public.%I cascade',
          case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table' else 'table' end, relname) as command
        from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
          and not exists (select 1 from pg_depend d where d.objid = c.oid and d.deptype in ('e', 'i', 'a'))
        union all
        select format('drop routine if exists %s cascade', p.oid::regprocedure) from pg_proc p
        where pronamespace = 'public'::regnamespace and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')
        union all
        select format('drop type if exists public.%I cascade', typname) from pg_type t
        where typnamespace = 'public'::regnamespace and typtype in ('e', 'd') and not exists (select 1 from pg_depend d where d.objid = t.oid and d.deptype = 'e')
      loop
        execute one.command;
      end loop;
    end $$`);
  await sql`drop schema if exists drizzle cascade`;
  await sql`drop schema if exists bullmq cascade`;
};
