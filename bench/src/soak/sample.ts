import { readFile } from 'node:fs/promises';

import type { Stage } from '../stage.ts';

/** Rewritten all the time: their dead rows and their size must stay bounded however long a fleet beats and works. */
export const HOT_TABLES = ['agent_beats', 'leases'] as const;
const GROWING_TABLES = [
  'tasks',
  'attempts',
  'events',
  'audit_events',
  'idempotency_keys',
  'agent_tokens',
  'attempt_logs',
];

export type Sample = {
  at_s: number;
  rss_mb: number;
  heap_mb: number;
  /** p99 of the coordinator's event loop since the sample before. */
  lag_ms: number;
  parked: number;
  connections: number;
  wal_mb: number;
  dead: Record<string, number>;
  size_mb: Record<string, number>;
  /** Rows that hold still though something should have moved them, by what is wrong with them. */
  stuck: Record<string, number>;
};

/** What no moment may show; each query counts. A claim between two statements of one transaction is never visible. */
const STUCK: Record<string, string> = {
  'live attempts without a lease': `select count(*) from attempts a where ended_at is null
    and not exists (select 1 from leases l where l.attempt_id = a.id)`,
  'leases without a live attempt': `select count(*) from leases l
    where not exists (select 1 from attempts a where a.id = l.attempt_id and a.ended_at is null)`,
  'tasks in progress without a live attempt': `select count(*) from tasks t where status = 'in_progress'
    and not exists (select 1 from attempts a where a.task_id = t.id and a.ended_at is null)`,
  'events without position for 5 s': `select count(*) from events where seq is null and created_at < clock_timestamp() - interval '5 s'`,
  'audit rows unsealed for 5 s': `select count(*) from audit_events where seq is null and created_at < clock_timestamp() - interval '5 s'`,
  'leases a minute over their end and grace': `select count(*) from leases, service where expires_at < clock_timestamp() - interval '90 s'
    and held_until is null and coalesce(expiry_suspended_until < clock_timestamp(), true) and mass_silence_since is null`,
  'transactions open for 20 s': `select count(*) from pg_stat_activity where state like 'idle in transaction%'
    and xact_start < clock_timestamp() - interval '20 s'`,
};

const gaugeOf = (metrics: string, name: string): number =>
  Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1] ?? Number.NaN);

const countStuck = async (sql: Stage['sql']): Promise<Record<string, number>> => {
  const found: Record<string, number> = {};
  await sql.begin('isolation level repeatable read read only', async (within) => {
    for (const [name, query] of Object.entries(STUCK)) {
      const count = Number((await within.unsafe(query))[0]?.count);
      if (count > 0) found[name] = count;
    }
  });
  return found;
};

export const takeSample = async ({ url, pid, sql }: Stage, began_ms: number): Promise<Sample> => {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  const tables = await sql<{ name: string; dead: number; bytes: number }[]>`
    select relname as name, n_dead_tup as dead, pg_total_relation_size(relid) as bytes from pg_stat_user_tables
    where schemaname = 'public' and relname = any(${[...HOT_TABLES, ...GROWING_TABLES]})`;
  const [server] = await sql<{ connections: number; wal: number }[]>`
    select count(*)::int as connections, (pg_current_wal_lsn() - '0/0')::float8 as wal from pg_stat_activity where backend_type = 'client backend'`;
  return {
    at_s: Math.round((performance.now() - began_ms) / 1000),
    rss_mb: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024,
    heap_mb: gaugeOf(metrics, 'flotilla_nodejs_heap_size_used_bytes') / 1024 ** 2,
    lag_ms: gaugeOf(metrics, 'flotilla_nodejs_eventloop_lag_p99_seconds') * 1000,
    parked: gaugeOf(metrics, 'flotilla_parked_claims'),
    connections: server?.connections ?? Number.NaN,
    wal_mb: (server?.wal ?? Number.NaN) / 1024 ** 2,
    dead: Object.fromEntries(tables.map(({ name, dead }) => [name, dead])),
    size_mb: Object.fromEntries(tables.map(({ name, bytes }) => [name, bytes / 1024 ** 2])),
    stuck: await countStuck(sql),
  };
};
