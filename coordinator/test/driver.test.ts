import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { build } from 'esbuild';
import type postgres from 'postgres';
import { afterAll, expect, inject, test } from 'vitest';

import { patchedDriver } from '../patched-driver.mjs';

const dir = mkdtempSync(join(tmpdir(), 'flotilla-driver-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The driver as the bundle has it; the other tests run the sources with the one from npm. */
const loadPatched = async (): Promise<typeof postgres> => {
  const outfile = join(dir, 'postgres.mjs');
  const stdin = { contents: `export { default } from 'postgres';`, resolveDir: import.meta.dirname };
  await build({ stdin, bundle: true, platform: 'node', format: 'esm', plugins: [patchedDriver], outfile });
  const loaded = (await import(pathToFileURL(outfile).href)) as { default: typeof postgres };
  return loaded.default;
};

test('a transaction that begins behind a hundred queries has its connection for itself', async () => {
  const { host, port, user } = inject('postgres');
  const driver = await loadPatched();
  const sql = driver({ host, port, user, database: 'postgres', max: 2, onnotice: () => {} });
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
  const driver = await loadPatched();
  const sql = driver({ host, port, user, database: 'postgres', max: 5, onnotice: () => {} });
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
