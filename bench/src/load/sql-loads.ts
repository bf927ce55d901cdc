import postgres from 'postgres';

import { type Bounds, measure, type Measured } from './measure.ts';

export type SqlJob = {
  load: keyof typeof loads;
  /** The Postgres under test: the same server that the coordinator uses. */
  database: { host: string; port: number; user: string; database: string };
  clients: number;
  batch?: number;
  chunk_bytes?: number;
  bounds: Bounds;
};

type Sql = postgres.ReservedSql;

/**
 * The same work in the fewest statements that anybody would write by hand, over tables without a second index or a
 * foreign key: what Postgres gives here, not what it costs to be careful.
 */
export const CEILING_TABLES = `
  drop table if exists raw_tasks, raw_beats, raw_logs;
  create table raw_tasks (id bigint generated always as identity primary key, title text not null, status text not null default 'inbox',
    priority int not null default 2, created_at timestamptz not null default now(), claimed_by bigint, epoch bigint);
  create index raw_tasks_queue on raw_tasks (priority, created_at, id) where status = 'inbox';
  create sequence if not exists raw_epochs;
  create table raw_beats (agent_id bigint primary key, last_heartbeat_at timestamptz not null default now(), seq bigint not null default 0)
    with (fillfactor = 50);
  create table raw_logs (stream_id int, start bigint, data bytea not null, primary key (stream_id, start));
  insert into raw_beats (agent_id) select generate_series(1, 1000)`;

const claim = (sql: Sql, wanted: number) => sql<{ id: number; epoch: number }[]>`
  update raw_tasks t set status = 'in_progress', claimed_by = 1, epoch = nextval('raw_epochs')
  from (select id from raw_tasks where status = 'inbox' order by priority, created_at, id limit ${wanted} for update skip locked) head
  where t.id = head.id returning t.id, t.epoch`;

const loads = {
  claim: async (sql: Sql, { batch = 1 }: SqlJob) => (await claim(sql, batch)).length,
  cycle: async (sql: Sql) => {
    const [task] = await claim(sql, 1);
    if (task === undefined) return 0;
    const rows =
      await sql`update raw_tasks set status = 'done' where id = ${task.id} and epoch = ${task.epoch} and status = 'in_progress' returning id`;
    return rows.length;
  },
  create: async (sql: Sql) => (await sql`insert into raw_tasks (title) values ('bench') returning id`).length,
  beat: async (sql: Sql) => {
    const agent_id = 1 + Math.floor(Math.random() * 1000);
    const rows =
      await sql`update raw_beats set last_heartbeat_at = now(), seq = seq + 1 where agent_id = ${agent_id} returning agent_id`;
    return rows.length;
  },
  /** The unit is a megabyte. */
  log: async (sql: Sql, { chunk_bytes = 0 }: SqlJob) => {
    const chunk = Buffer.alloc(chunk_bytes, 'a line of log that says nothing of interest\n');
    await sql`insert into raw_logs (stream_id, start, data) values (pg_backend_pid(), ${performance.now() * 1000}::float::bigint, ${chunk})`;
    return chunk_bytes / 1_000_000;
  },
};

export const runSqlLoad = async (job: SqlJob): Promise<Measured> => {
  const { load, database, clients, bounds } = job;
  const pool = postgres({
    ...database,
    max: clients,
    onnotice: () => {},
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
  });
  const lanes = await Promise.all(Array.from({ length: clients }, () => pool.reserve()));
  try {
    return await measure(
      lanes.map((sql) => () => loads[load](sql, job)),
      bounds,
    );
  } finally {
    for (const lane of lanes) lane.release();
    await pool.end({ timeout: 5 });
  }
};
