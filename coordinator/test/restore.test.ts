import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';

import { taskStatuses } from '@flotilla/shared';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';

import { backupToFile, writeBackup } from '../src/admin/backup.ts';
import { frame } from '../src/admin/format.ts';
import { checkBackup } from '../src/admin/read-backup.ts';
import { planRestore, restoreDatabase } from '../src/admin/restore.ts';
import { connect, type Pool } from '../src/db/client.ts';
import { migrateDatabase } from '../src/db/migrate.ts';
import { testApp } from './lib/app.ts';
import { taskIn } from './lib/board.ts';
import { digests } from './lib/digests.ts';
import { findViolations } from './lib/invariants.ts';
import { until } from './lib/until.ts';

const MIGRATIONS = fileURLToPath(new URL('../drizzle', import.meta.url));
const ADMIN = fileURLToPath(new URL('../dist/admin.js', import.meta.url));
const ERA = 2 ** 32;
const ever = new AbortController().signal;

const app = await testApp();
const dir = mkdtempSync(join(tmpdir(), 'flotilla-backup-'));
const file = join(dir, 'flotilla.backup');
const { host, port, user } = inject('postgres');
const factsOf = (database: string) => ({ host, port, user, database });
let source: string;

/** Runs with a connection to a database of its own name, which is empty at first. */
const withTarget = async <T>(work: (target: { database: string; sql: Pool }) => Promise<T>): Promise<T> => {
  const database = `restore_${randomUUID().replaceAll('-', '')}`;
  await app.sql`create database ${app.sql(database)}`;
  const sql = connect(factsOf(database), { max: 2, name: 'test' });
  try {
    return await work({ database, sql });
  } finally {
    await sql.end({ timeout: 5 });
  }
};

const restore = async (database: string, options: { from?: string; force?: boolean; migrations?: string } = {}) => {
  const plan = await planRestore(options.from ?? file, options.migrations ?? MIGRATIONS);
  const { force = false } = options;
  return restoreDatabase(factsOf(database), plan, { force, by: 'test', random: () => 0.5, signal: ever });
};

beforeAll(async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ slots: 32, online: true });
  for (const status of taskStatuses)
    await taskIn(workspace, agent, status, {
      description: `tab\there, line\nend, \\. and \\N, quote ", ü, 🚢, ${status}`,
    });
  const [claimed] = await app.sql<{ id: number; epoch: number }[]>`
    select id, epoch from tasks where status = 'in_progress'`;
  await agent.log(
    claimed ?? { id: 0, epoch: 0 },
    0,
    Uint8Array.from({ length: 512 }, (_, index) => index % 256),
  );
  await app.sequence();
  await workspace.task();
  const [row] = await app.sql<{ name: string }[]>`select current_database() as name`;
  source = row?.name ?? '';
  await backupToFile(factsOf(source), file, ever);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('a backup', () => {
  test('belongs to its owner alone, and nothing half-written lies beside it', () => {
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(existsSync(`${file}.partial`)).toBe(false);
  });

  test('is restored row by row, with its schema, in a new era', () =>
    withTarget(async ({ database, sql }) => {
      const before = await digests(app.sql);
      const { era, skipped } = await restore(database);
      expect(skipped).toEqual([]);
      expect(await digests(sql)).toEqual(before);
      expect(await findViolations(sql)).toEqual([]);
      const schema = (pool: Pool) => pool`
        select 'c' as kind, conrelid::regclass::text as of, conname as name, pg_get_constraintdef(oid) as definition from pg_constraint where connamespace = 'public'::regnamespace
        union all select 'i', tablename, indexname, indexdef from pg_indexes where schemaname = 'public'
        union all select 'm', '', hash, created_at::text from drizzle.__drizzle_migrations order by 1, 2, 3`;
      expect(await schema(sql)).toEqual(await schema(app.sql));

      const [highest] = await app.sql<{ epoch: number }[]>`select max(epoch) as epoch from attempts`;
      const [next] = await sql<{ epoch: number; id: number; last: number }[]>`
        select nextval('epochs') as epoch, nextval('tasks_id_seq') as id, (select max(id) from tasks) as last`;
      expect(next?.epoch).toBe(era.epoch_after + 1);
      expect(next?.epoch).toBeGreaterThanOrEqual((highest?.epoch ?? 0) + ERA);
      expect(next?.id).toBeGreaterThan(next?.last ?? Infinity);
      const positions = (pool: Pool) => pool<{ seq: number; last: number }[]>`
        select (select max(seq) from events) as seq, last_seq as last from sequencer where chain = 'events'`;
      const [[old], [moved]] = await Promise.all([positions(app.sql), positions(sql)]);
      expect(moved?.seq).toBe(moved?.last);
      expect(moved?.seq).toBeGreaterThanOrEqual((old?.seq ?? 0) + ERA);
      const [audit] = await sql`select principal, details, seq from audit_events where action = 'database.restore'`;
      const { header } = await checkBackup(file);
      expect(audit).toMatchObject({
        principal: 'system',
        seq: null,
        details: { backup_created_at: header.created_at, by: 'test' },
      });
      const [service] = await sql<
        { silent: boolean }[]
      >`select alive_at < clock_timestamp() - interval '5 minutes' as silent from service`;
      expect(service?.silent).toBe(true);
      await migrateDatabase(factsOf(database), MIGRATIONS);
    }));

  test('keeps no coordinator from starting, and leaves nothing when its reader stops', async () => {
    await app.sql`create table padding as select repeat(md5(n::text), 100) as text from generate_series(1, 20000) n`;
    try {
      const slow = new Writable({ write: (_chunk, _encoding, done) => void slow.once('go on', done) });
      const untilItWaits = () =>
        until('the backup to wait', async () => {
          const [row] = await app.sql`select 1 from pg_stat_activity where application_name = 'flotilla-backup'
            and query like 'copy%padding%' and wait_event = 'ClientWrite'`;
          return row !== undefined;
        });
      const slowly = writeBackup(factsOf(source), slow, ever);
      await untilItWaits();
      await migrateDatabase(factsOf(source), MIGRATIONS);
      slow._write = (_chunk, _encoding, done) => done();
      slow.emit('go on');
      await slowly;
      const full = new Writable({ write: (_chunk, _encoding, done) => void full.once('end of the disk', done) });
      const cut = untilItWaits().then(() => full.emit('end of the disk', new Error('the disk is full')));
      await expect(writeBackup(factsOf(source), full, ever)).rejects.toThrow('the disk is full');
      await cut;
      const stop = new AbortController();
      setTimeout(() => stop.abort(new Error('enough')), 20);
      const path = join(dir, 'stopped');
      await expect(backupToFile(factsOf(source), path, stop.signal)).rejects.toThrow('enough');
      expect([existsSync(path), existsSync(`${path}.partial`)]).toEqual([false, false]);
    } finally {
      await app.sql`drop table padding`;
    }
  });
});

describe('refused, with the database as it was', () => {
  const unchanged = (act: (database: string) => Promise<unknown>, reason: RegExp) =>
    withTarget(async ({ database, sql }) => {
      await restore(database);
      const before = await digests(sql);
      await expect(act(database)).rejects.toThrow(reason);
      expect(await digests(sql)).toEqual(before);
    });

  test('a file that is truncated, altered, extended, or something else', async () => {
    const whole = readFileSync(file);
    const flip = (bytes: Buffer, at: number): Buffer =>
      bytes.map((byte, index) => (index === at ? byte ^ 1 : byte)) as Buffer;
    const plain = gunzipSync(whole);
    const broken: [string, Buffer][] = [
      ['empty', Buffer.alloc(0)],
      ['half', whole.subarray(0, whole.length / 2)],
      ['one byte short', whole.subarray(0, -1)],
      ['a flipped bit', flip(whole, Math.floor(whole.length / 2))],
      ['a flipped bit in the packed rows', gzipSync(flip(plain, plain.indexOf('quote')))],
      ['without its trailer', gzipSync(plain.subarray(0, plain.lastIndexOf('trailer')))],
      ['with something behind', Buffer.concat([whole, Buffer.from('more')])],
      ['twice', Buffer.concat([whole, whole])],
      ['something else', Buffer.from('hello')],
      ['a frame without end', gzipSync('flotilla-backup 1\nheader 99999999999\n')],
    ];
    await unchanged(async (database) => {
      for (const [name, bytes] of broken) {
        const path = join(dir, 'broken');
        writeFileSync(path, bytes);
        const outcome = await restore(database, { from: path, force: true }).catch((error: Error) => error.message);
        expect(outcome, name).toMatch(/is not a complete Flotilla backup: .*Nothing was changed/);
      }
      throw new Error('all refused');
    }, /all refused/);
  });

  test('a file whose rows Postgres does not take', () => {
    // Well-formed and checked, yet wrong: what the last row breaks shows only after its last byte was sent.
    const plain = gunzipSync(readFileSync(file)).toString('latin1');
    const rows = '1\t"one"\n1\t"two"\n';
    const head = { ...JSON.parse(/\n(\{"flotilla_version.*)\n/.exec(plain)?.[1] ?? '{}'), tables: [] };
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
    const trailer = {
      header_sha256: sha256(JSON.stringify(head)),
      tables: { settings: { rows: 2, bytes: rows.length, sha256: sha256(rows) } },
    };
    const path = join(dir, 'wrong-rows');
    const table = JSON.stringify({ name: 'settings', columns: ['key', 'value'] });
    const frames = [frame('header', JSON.stringify(head)), frame('table', table), frame('data', rows)];
    const bytes = Buffer.concat([
      Buffer.from('flotilla-backup 1\n'),
      ...frames,
      frame('trailer', JSON.stringify(trailer)),
    ]);
    writeFileSync(path, gzipSync(bytes));
    return unchanged((database) => restore(database, { from: path, force: true }), /duplicate key/);
  });

  test('a database that is not empty, unless it is forced; then no epoch of it comes again', () =>
    withTarget(async ({ database, sql }) => {
      const first = await restore(database);
      await sql`select setval('epochs', ${first.era.epoch_after + 1000}::bigint)`;
      await sql`create view mine as select id from tasks`;
      await expect(restore(database)).rejects.toThrow(/is not empty.*--force/);
      const second = await restore(database, { force: true });
      expect(second.era.epoch_after).toBeGreaterThanOrEqual(first.era.epoch_after + 1000 + ERA);
      expect(await digests(sql)).toEqual(await digests(app.sql));
    }));

  test('a database of something else, forced or not', () =>
    withTarget(async ({ database, sql }) => {
      await sql`create table theirs (id int)`;
      await expect(restore(database, { force: true })).rejects.toThrow(/not Flotilla's/);
      expect(await sql`select * from theirs`).toHaveLength(0);
    }));

  test('while a coordinator is connected', () =>
    withTarget(async ({ database }) => {
      const coordinator = connect(factsOf(database), { max: 1, name: 'flotilla' });
      await coordinator`select 1`;
      await expect(restore(database)).rejects.toThrow(/A coordinator uses this database/);
      await coordinator.end();
    }));
});

describe('another schema', () => {
  const newer = join(dir, 'newer');
  const when = 1_900_000_000_000;
  beforeAll(() => {
    cpSync(MIGRATIONS, newer, { recursive: true });
    const journal = join(newer, 'meta/_journal.json');
    const parsed = JSON.parse(readFileSync(journal, 'utf8'));
    parsed.entries.push({ idx: 99, version: '7', when, tag: '0099_newer', breakpoints: true });
    writeFileSync(journal, JSON.stringify(parsed));
    writeFileSync(
      join(newer, '0099_newer.sql'),
      `alter table tasks add column colour text not null default 'blue';\n--> statement-breakpoint\ncreate table later (id int);`,
    );
  });

  test('that is older is migrated after loading', () =>
    withTarget(async ({ database, sql }) => {
      await restore(database, { migrations: newer });
      const [row] = await sql`select count(*)::int as count, min(colour) as colour from tasks`;
      expect(row).toMatchObject({ count: (await app.sql`select 1 from tasks`).length, colour: 'blue' });
      await migrateDatabase(factsOf(database), newer);
      // And back: this build replaces what a newer one made.
      await expect(migrateDatabase(factsOf(database), MIGRATIONS)).rejects.toThrow(/newer Flotilla/);
      await restore(database, { force: true });
      expect(await digests(sql)).toEqual(await digests(app.sql));
    }));

  test('that is newer, or of another branch, is refused', () =>
    withTarget(async ({ database }) => {
      await restore(database, { migrations: newer });
      const path = join(dir, 'from-newer');
      await backupToFile(factsOf(database), path, ever);
      await expect(planRestore(path, MIGRATIONS)).rejects.toThrow(/schema is newer than this build's/);
      writeFileSync(join(newer, '0099_newer.sql'), 'create table elsewhere (id int)');
      await expect(planRestore(path, newer)).rejects.toThrow(/whose schema this build does not know/);
    }));
});

test('kill -9 in the middle of a restore leaves the old database, and a second one works', () =>
  withTarget(async ({ database, sql }) => {
    await restore(database);
    const big = join(dir, 'big');
    await app.sql`insert into settings select 'filler ' || n, to_jsonb(repeat(md5(n::text), 3000)) from generate_series(1, 200) n`;
    await backupToFile(factsOf(source), big, ever);
    await app.sql`delete from settings where key like 'filler %'`;
    const before = await digests(sql);
    // What an external database is reached by: a URL, and here PGHOST for the socket that a URL cannot name.
    const env = { ...process.env, DATABASE_URL: `postgres:///${database}`, PGHOST: host, PGUSER: user };
    const argv = [ADMIN, 'restore', '--force', big];
    const child = spawn(process.execPath, argv, { env, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const sessions = () => app.sql<{ query: string }[]>`
      select query from pg_stat_activity where datname = ${database} and application_name = 'flotilla-restore'`;
    await until('rows to be loaded', async () => (await sessions()).some(({ query }) => query.startsWith('copy')));
    child.kill('SIGKILL');
    await ended;
    await until('Postgres to notice', async () => (await sessions()).length === 0);
    expect(await digests(sql)).toEqual(before);
    const again = spawnSync(process.execPath, argv, { env, encoding: 'utf8' });
    expect(again).toMatchObject({
      status: 0,
      stdout: '',
      stderr: expect.stringMatching(/^Restored \d+ rows of \d+ tables as of/),
    });
    const [row] = await sql<{ count: number }[]>`select count(*)::int as count from settings where key like 'filler %'`;
    expect(row?.count).toBe(200);
  }));
