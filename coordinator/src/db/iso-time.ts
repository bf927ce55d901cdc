import type { Sql } from './client.ts';

/** A time within jsonb as the API shows it; as a column of its own the driver does this. */
export const isoTime = (sql: Sql, expression: ReturnType<Sql>) =>
  sql`to_char(${expression} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
