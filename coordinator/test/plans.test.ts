import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';

const app = await testApp();

/** What the hot verbs touch. Not `leases`: it holds only what runs, and expiry reads it whole. */
const HOT = ['agents', 'attempts', 'events', 'task_search', 'tasks'];

type Reads = { name: string; scanned: number; inserted: number };
const readsOf = () => app.sql<Reads[]>`
  select relname as name, seq_tup_read as scanned, n_tup_ins as inserted from pg_stat_user_tables where relname = any(${HOT}::text[]) order by relname`;
const scansOf = (reads: Reads[]) => reads.map(({ name, scanned }) => ({ name, scanned }));

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
  const work = async (times: number) => {
    for (let n = 0; n < times; n++) {
      await workspace.task();
      const task = await agent.claimOne();
      await agent.start(task);
      await agent.beat([task]);
      await agent.complete(task);
      await app.sequence();
    }
  };
  await work(1);
  await told(1);
  const before = await readsOf();
  await work(20);
  await told(21);
  expect(scansOf(await readsOf())).toEqual(scansOf(before));
});
