import postgres from 'postgres';

/** How to reach Postgres: a URL, or the directory of a unix socket. */
export type ConnectionFacts =
  | { url: string }
  | { host: string; port: number; user: string; password?: string; database: string };

const toIso = (value: string): string => new Date(value).toISOString();

/** A server that lives ends any statement by then. */
const STATEMENT_MS = 15_000;
/** It has not sent a byte for so long, although it owes an answer: it is gone, and nobody told us. */
const ANSWER_S = 20;

/**
 * A postgres.js pool whose rows are already the wire's shapes: timestamptz → ISO 8601 UTC, bigint → number (ids, epochs
 * and sizes stay below 2^53), jsonb → values. `lasting` is for backups and migrations, which lift the limit of their
 * statements: of a server that vanishes meanwhile only the kernel tells.
 */
export const connect = (
  facts: ConnectionFacts,
  { max, name, lasting = false }: { max: number; name: string; lasting?: boolean },
) => {
  const settings = {
    max,
    connect_timeout: 5,
    answer_timeout: lasting ? 0 : ANSWER_S, // ours: docs/adr/0009
    keep_alive: 10, // seconds; ten probes later an idle connection to a server that is gone is closed
    idle_timeout: 0,
    max_lifetime: null,
    backoff: (attempt: number) => Math.min(1, 0.05 * 2 ** attempt),
    onnotice: () => {},
    connection: {
      application_name: name,
      idle_in_transaction_session_timeout: 30_000,
      statement_timeout: STATEMENT_MS,
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
