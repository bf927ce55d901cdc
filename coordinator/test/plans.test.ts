import { setTimeout as pause } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import type { TestAgent, TestWorkspace } from './lib/fleet.ts';

const app = await testApp();

/** What the hot verbs touch. Not `leases`: it holds only what runs, and expiry reads it whole. */
const HOT = ['agents', 'attempts', 'event_batches', 'task_search', 'tasks'];

type Reads = { name: string; scanned: number; inserted: number };
const readsOf = () => app.sql<Reads[]>`
  select relname as name, seq_tup_read as scanned, n_tup_ins as inserted from pg_stat_user_tables where relname = any(${HOT}::text[]) order by relname`;
const scansOf = (reads: Reads[]) => reads.map(({ name, scanned }) => ({ name, scanned }));

/** The lives of so many tasks, one after the other. */
const liveThrough = async (workspace: TestWorkspace, agent: TestAgent, times: number) => {
  for (let n = 0; n < times; n++) {
    await workspace.task();
    const task = await agent.claimOne();
    await agent.start(task);
    await agent.beat([task]);
    await agent.complete(task);
    await app.sequence();
  }
};

// Where a table is empty, reading all of it costs nothing: such a plan stays in a backend, also that of a foreign key's
// check, when the table has long grown.
test('no verb reads a table from end to end, although its plans were made while all were empty', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ online: true });
  await app.sql.unsafe('vacuum analyze');
  // Backends tell what they read a second later at most; nothing is compared before they told of these rows.
  const told = async (attempts: number) =>
    expect
      .poll(async () => (await readsOf()).find(({ name }) => name === 'attempts')?.inserted, { timeout: 10_000 })
      .toBe(attempts);
  const work = (times: number) => liveThrough(workspace, agent, times);
  await work(1);
  await told(1);
  const before = await readsOf();
  await work(20);
  await told(21);
  expect(scansOf(await readsOf())).toEqual(scansOf(before));
});

test('no verb reads more rows through an index when there are more', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ online: true });
  const work = (times: number) => liveThrough(workspace, agent, times);
  await app.sql.unsafe('vacuum analyze');
  const fetched = async () => {
    await app.sql`select pg_stat_force_next_flush()`;
    const [row] = await app.sql<{ fetched: number }[]>`
      select sum(idx_tup_fetch + seq_tup_read)::int as fetched from pg_stat_user_tables where relname = any(${[...HOT, 'audit_events', 'leases']}::text[])`;
    return row?.fetched ?? 0;
  };
  // Backends tell what they read a second later at most.
  const settled = async () => {
    await pause(1_200);
    return fetched();
  };
  const costOf = async (times: number) => {
    const before = await settled();
    await work(times);
    return (await settled()) - before;
  };
  await work(5);
  const few = await costOf(20);
  await work(150);
  const many = await costOf(20);
  // Ten times as many tasks; a table that is read from end to end shows as nine times the rows.
  expect(many).toBeLessThan(3 * few);
}, 60_000);
