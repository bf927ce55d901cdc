import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import { until } from './lib/until.ts';

const RESCAN_MS = 20;
const app = await testApp({ FLOTILLA_RESCAN_MS: String(RESCAN_MS) });

const claimBatches = async (): Promise<number> => {
  const { values } = await app.deps.metrics.claim_batches.get();
  return values[0]?.value ?? 0;
};

test('a parked claim finds what no hint told it of', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const task = await workspace.task({ status: 'backlog' });
  const parked = agent.claim(1, { wait_s: 20 });
  await until('the claim to wait', async () => app.deps.desk.parked() === 1);
  await app.sql`update tasks set status = 'inbox' where id = ${task.id}`;
  expect((await parked).map(({ id }) => id)).toEqual([task.id]);
});

test('what an admin changed about the agent counts at the latest some looks later', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const task = await workspace.task({ required_tags: ['gpu'] });
  const parked = agent.claim(1, { wait_s: 20 });
  await until('the claim to wait', async () => app.deps.desk.parked() === 1);
  await app.sql`update agents set tags = '{gpu}' where id = ${agent.id}`;
  expect((await parked).map(({ id }) => id)).toEqual([task.id]);
});

test('agents that wait for work look without locking and writing', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const stop = new AbortController();
  const parked = agent.claim(1, { wait_s: 20 }, stop.signal).catch(() => []);
  const before = await claimBatches();
  const looks = async () => (await claimBatches()) - before;
  // Every sixth look is a whole one.
  await until('three whole looks', async () => (await looks()) >= 3);
  const began = performance.now();
  await until('six more', async () => (await looks()) >= 9);
  expect(performance.now() - began).toBeGreaterThan(6 * 5 * RESCAN_MS * 0.8 * 0.9);
  stop.abort();
  await parked;
});
