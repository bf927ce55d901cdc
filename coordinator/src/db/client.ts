import postgres from 'postgres';

/** How to reach Postgres: a URL, or the directory of a unix socket. */
export type ConnectionFacts =
  | { url: string }
  | { host: string; port: number; user: string; password?: string; database: string };

const toIso = (value: string): string => new Date(value).toISOString();

/**
 * A postgres.js pool whose rows are already the wire's shapes: timestamptz → ISO 8601 UTC, bigint → number (ids, epochs
 * and sizes stay below 2^53), jsonb → values.
 */
export const connect = (facts: ConnectionFacts, options: { max: number; name: string }) => {
  const settings = {
    max: options.max,
    connect_timeout: 5,
    idle_timeout: 0,
    max_lifetime: null,
    backoff: (attempt: number) => Math.min(1, 0.05 * 2 ** attempt),
    onnotice: () => {},
    connection: {
      application_name: options.name,
      idle_in_transaction_session_timeout: 30_000,
      statement_timeout: 15_000,
      // One plan per statement: Postgres would plan each claim of a few tasks anew (0.4 ms). What needs another plan for
      // other values says so (`plannedAnew`).
      plan_cache_mode: 'force_generic_plan',
    },
    types: {
      bigint: { to: 20, from: [20], parse: Number, serialize: String },
      date: { to: 1184, from: [1082, 1114, 1184], parse: toIso, serialize: String },
    },
  };
  return 'url' in facts ? postgres(facts.url, settings) : postgres({ ...facts, ...settings });
};

export type Pool = ReturnType<typeof connect>;
/** What a query needs: the pool or a transaction of it. */
export type Sql = Pool | Parameters<Parameters<Pool['begin']>[1]>[0];
