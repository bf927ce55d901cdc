import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { type Coordinator, createCoordinator, MAIN } from '../lib/coordinator.ts';
import { openDatabase } from '../lib/invariants.ts';
import { childrenOf, endProcessesOf, signal } from '../lib/processes.ts';
import { until } from '../lib/until.ts';

type Journal = { entries: { idx: number; version: string; when: number; tag: string; breakpoints: boolean }[] };

/** Stops in its middle for as long as the gate is closed. Any half of it that stayed would make the next try fail. */
const SLOW = [
  'create table made_first (n int)',
  'alter table service add column made int',
  'do $$ begin while (select closed from gate) loop perform pg_sleep(0.02); end loop; end $$',
  'create table made_last (n int)',
].join(';\n--> statement-breakpoint\n');

/** The built coordinator in a place of its own, where a later version can be installed over it. */
const install = (dir: string) => {
  const home = dirname(dirname(MAIN));
  const main = join(dir, 'dist/main.js');
  cpSync(dirname(MAIN), dirname(main), { recursive: true });
  cpSync(join(home, 'drizzle'), join(dir, 'drizzle'), { recursive: true });
  cpSync(join(home, 'package.json'), join(dir, 'package.json'));
  symlinkSync(join(home, '../node_modules'), join(dir, 'node_modules'));
  const upgrade = () => {
    const path = join(dir, 'drizzle/meta/_journal.json');
    const journal = JSON.parse(readFileSync(path, 'utf8')) as Journal;
    const last = journal.entries.at(-1);
    if (last === undefined) throw new Error('there are no migrations');
    journal.entries.push({ ...last, idx: last.idx + 1, when: last.when + 1, tag: '9999_slow' });
    writeFileSync(path, JSON.stringify(journal));
    writeFileSync(join(dir, 'drizzle/9999_slow.sql'), SLOW);
  };
  return { main, upgrade };
};

const scratch = () => {
  const dir = mkdtempSync(join(tmpdir(), 'fl-'));
  // Under root the bundled Postgres runs as somebody else, who has to pass through here.
  chmodSync(dir, 0o711);
  onTestFinished(async () => {
    await endProcessesOf(dir);
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  });
  return dir;
};

const ask = async (coordinator: Coordinator, statement: string): Promise<Record<string, unknown>[]> => {
  const sql = openDatabase(coordinator);
  try {
    return await sql.unsafe(statement);
  } finally {
    await sql.end({ timeout: 1 });
  }
};

const IN_THE_MIDDLE = `
  select 1 from pg_stat_activity where application_name = 'flotilla-migrate' and state = 'active' and query like '%from gate%'`;
const STATE = `
  select to_regclass('made_first') is not null as first, to_regclass('made_last') is not null as last,
    (select count(*) from drizzle.__drizzle_migrations) as migrations,
    exists (select 1 from pg_attribute where attrelid = 'service'::regclass and attname = 'made') as added`;

it('a migration whose coordinator, or everything, is killed in its middle leaves nothing, and is done by the next start', async () => {
  const dir = scratch();
  const { main, upgrade } = install(join(dir, 'installed'));
  const coordinator = await createCoordinator(join(dir, 'c'), {}, main);
  onTestFinished(() => coordinator.close());
  await coordinator.start();
  await ask(coordinator, 'create table gate as select true as closed');
  const [before] = await ask(coordinator, STATE);
  await coordinator.stop();
  upgrade();

  const startUntilMiddle = async () => {
    const listening = coordinator.start();
    listening.catch(() => {}); // it may be killed before
    await until('the migration to be in its middle', async () => (await ask(coordinator, IN_THE_MIDDLE)).length === 1);
    expect(await ask(coordinator, STATE)).toEqual([before]);
    // Wrapped: awaiting the function must not mean awaiting this.
    return { listening };
  };
  await startUntilMiddle();
  await coordinator.kill();

  await startUntilMiddle();
  const postmaster = coordinator.postmaster() ?? 0;
  for (const pid of [coordinator.pid(), postmaster, ...childrenOf(postmaster)]) signal(pid, 'SIGKILL');
  await coordinator.kill();

  const third = await startUntilMiddle();
  await ask(coordinator, 'update gate set closed = false');
  await third.listening;
  expect(await ask(coordinator, STATE)).toEqual([
    { first: true, last: true, added: true, migrations: Number(before?.migrations) + 1 },
  ]);
  await coordinator.stop();
});
