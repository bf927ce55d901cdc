import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';

import postgres from 'postgres';
import { expect, inject, test } from 'vitest';

import { connect as connectPool } from '../src/db/client.ts';

test('a transaction that begins behind a hundred queries has its connection for itself', async () => {
  const { host, port, user } = inject('postgres');
  const sql = postgres({ host, port, user, database: 'postgres', max: 2, onnotice: () => {} });
  try {
    const backends = (ahead: number) =>
      Promise.all([
        ...Array.from({ length: ahead }, () => sql`select 1`.execute()),
        ...[1, 2].map(() => sql.begin((own) => own`select pg_backend_pid() as pid, txid_current() as id`)),
      ]);
    // The driver lets a connection have a hundred queries in flight: with one of these counts BEGIN is the hundredth.
    for (let ahead = 90; ahead <= 205; ahead++) {
      await backends(ahead);
      const [left] = await sql`
        select count(*)::int as open from pg_stat_activity where datname = 'postgres' and state like 'idle in transaction%'`;
      expect({ ahead, open: left?.open }).toEqual({ ahead, open: 0 });
    }
  } finally {
    await sql.end({ timeout: 5 });
  }
});

test('a quiet pool stays with the connection that it used last', async () => {
  const { host, port, user } = inject('postgres');
  const sql = postgres({ host, port, user, database: 'postgres', max: 5, onnotice: () => {} });
  const backend = async (on: postgres.Sql | postgres.TransactionSql) =>
    (await on<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]?.pid ?? 0;
  try {
    const all = await Promise.all(Array.from({ length: 5 }, () => sql`select pg_sleep(0.05), pg_backend_pid() as pid`));
    expect(new Set(all.map(([row]) => row?.pid)).size).toBe(5);
    const used = new Set<number>();
    for (let turn = 0; turn < 20; turn++) used.add(await backend(sql));
    for (let turn = 0; turn < 5; turn++) used.add(await sql.begin((own) => backend(own)));
    expect(used.size).toBe(1);
  } finally {
    await sql.end({ timeout: 5 });
  }
});

/** A way to Postgres that can be cut as a network does: by a reset, or so that nothing arrives any more. */
const cuttableWay = async (path: string) => {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(path);
    open.add(near);
    for (const end of [near, far]) end.on('error', () => {});
    near.on('close', () => (open.delete(near), far.destroy()));
    near.pipe(far).pipe(near);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port, // a TCP server has one
    cut: () => open.forEach((near) => near.resetAndDestroy()),
    swallow: () => open.forEach((near) => near.unpipe().pause()),
    close: () => (server.close(), open.forEach((near) => near.destroy())),
  };
};

test('what is asked between the error of a connection and its end is answered or refused, and harms nothing after it', async () => {
  const { host, port, user } = inject('postgres');
  const way = await cuttableWay(join(host, `.s.PGSQL.${port}`));
  const onlooker = postgres({ host, port, user, database: 'postgres', max: 1 });
  const sql = postgres({
    host: '127.0.0.1',
    port: way.port,
    user,
    database: 'postgres',
    max: 2,
    backoff: () => 0.01,
    connection: { application_name: 'cut-off' },
  });
  const asleep = async () =>
    (
      await onlooker`select pid from pg_stat_activity where application_name = 'cut-off' and wait_event = 'PgSleep'`
    ).map(({ pid }) => pid as number);
  const one = async (on: postgres.Sql | postgres.TransactionSql) =>
    (await on<{ one: number }[]>`select 1 as one`)[0]?.one;
  try {
    for (let turn = 0; turn < 5; turn++) {
      // Both ask again as soon as they are refused: the transaction for its rollback, the other one once more.
      const cut = Promise.allSettled([
        sql.begin((own) => own`select pg_sleep(30)`),
        sql`select pg_sleep(30)`.catch(() => one(sql)),
      ]);
      await expect.poll(asleep, { timeout: 10_000 }).toHaveLength(2);
      way.cut();
      await onlooker`select pg_terminate_backend(pid, 10000) from unnest(${await asleep()}::int[]) pid`; // they have not noticed
      expect((await cut)[0]).toMatchObject({ status: 'rejected', reason: { code: 'CONNECTION_CLOSED' } });
      expect(await Promise.all([one(sql), one(sql), sql.begin(one), sql.begin(one)])).toEqual([1, 1, 1, 1]);
    }
  } finally {
    await Promise.all([sql.end({ timeout: 1 }), onlooker.end({ timeout: 1 })]);
    way.close();
  }
});

test('a connection on which nothing comes any more is given up, and no other', async () => {
  const { host, port, user } = inject('postgres');
  const path = join(host, `.s.PGSQL.${port}`);
  const [way, elsewhere] = [await cuttableWay(path), await cuttableWay(path)];
  const settings = { host: '127.0.0.1', port: way.port, user, database: 'postgres', max: 2, answer_timeout: 1 };
  const sql = postgres({ ...settings, backoff: () => 0.01 });
  const other = postgres({ ...settings, port: elsewhere.port, max: 1 });
  try {
    const [first, second] = await Promise.all([0, 1].map(() => sql`select pg_backend_pid() as pid, pg_sleep(0.1)`));
    way.swallow();
    // One is the first thing asked on its connection, one waits behind it.
    const lost = await Promise.allSettled([sql.begin((own) => own`select 1`), sql`select 1`, sql`select 2`]);
    for (const answer of lost) expect(answer).toMatchObject({ reason: { code: 'CONNECTION_CLOSED' } });
    const before = [first?.[0]?.pid, second?.[0]?.pid] as number[];
    const [after] = await sql`select pg_backend_pid() as pid`;
    expect(before).not.toContain(after?.pid);
    // It stays while nothing is asked for as long as it takes to give up another one, and while two slow answers come after
    // each other.
    await other`select 1`;
    elsewhere.swallow();
    await expect(other`select 1`).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' });
    for (const seconds of [0.7, 0.7]) {
      const [still] = await sql`select pg_backend_pid() as pid, pg_sleep(${seconds})`;
      expect(still?.pid).toBe(after?.pid);
    }
  } finally {
    await Promise.all([sql.end({ timeout: 1 }), other.end({ timeout: 1 })]);
    for (const each of [way, elsewhere]) each.close();
  }
});

test('a pool gives up a connection only when a server that lives would have answered; one for lasting statements never', async () => {
  const { host, port, user } = inject('postgres');
  const facts = { host, port, user, database: 'postgres' };
  const settingsOf = async (lasting: boolean) => {
    const pool = connectPool(facts, { max: 1, name: 'settings', lasting });
    const [row] = await pool`select extract(epoch from current_setting('statement_timeout')::interval)::int as limit_s`;
    await pool.end();
    return { limit_s: row?.limit_s as number, ...(pool.options as { answer_timeout?: number }) };
  };
  const usual = await settingsOf(false);
  expect(usual.limit_s).toBeGreaterThan(0);
  expect(usual.answer_timeout).toBeGreaterThan(usual.limit_s);
  expect(await settingsOf(true)).toMatchObject({ answer_timeout: 0 });
});
