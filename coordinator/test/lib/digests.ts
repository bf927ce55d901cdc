import type { Pool } from '../../src/db/client.ts';

/** A digest per table, of all columns but those that a restore moves on purpose. */
export const digests = async (sql: Pool): Promise<Record<string, string>> => {
  const tables = await sql<{ name: string }[]>`
    select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1`;
  const moved: Record<string, string> = {
    audit_events: `where action <> 'database.restore'`,
    event_batches: '',
    sequencer: `where chain <> 'events'`,
  };
  const entries = await Promise.all(
    tables.map(async ({ name }) => {
      const json =
        name === 'event_batches'
          ? `to_jsonb(t) - 'last_seq'`
          : name === 'service'
            ? `to_jsonb(t) - 'alive_at'`
            : 'to_jsonb(t)';
      const [row] = await sql.unsafe(
        `select count(*) || ' ' || coalesce(md5(string_agg((${json})::text, '|' order by (${json})::text)), '') as digest from ${name} t ${moved[name] ?? ''}`,
      );
      return [name, String(row?.digest)] as const;
    }),
  );
  return Object.fromEntries(entries);
};
