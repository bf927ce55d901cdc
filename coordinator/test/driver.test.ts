import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';

import postgres from 'postgres';
import { expect, inject, test } from 'vitest';

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

/** A way to Postgres that can be cut as a network does: the driver's sockets see a reset, not an end. */
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
