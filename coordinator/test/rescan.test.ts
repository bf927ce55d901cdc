import { expect, test } from 'vitest';

import { glance } from '../src/tasks/claim/glance.ts';
import { testApp } from './lib/app.ts';
import { until } from './lib/until.ts';

const RESCAN_MS = 20;
const app = await testApp({ FLOTILLA_RESCAN_MS: String(RESCAN_MS) });
/** Nobody looks for itself here. */
const patient = await testApp({ FLOTILLA_RESCAN_MS: '600000' });

const claimBatches = async (of: typeof app): Promise<number> => {
  const { values } = await of.deps.metrics.claim_batches.get();
  return values[0]?.value ?? 0;
};

test('one glance for all finds what no hint told of, and wakes as many as there is work for', async () => {
  const workspace = await patient.workspace();
  const agents = await Promise.all([1, 2, 3].map(() => workspace.agent()));
  const other = await workspace.agent({ tags: ['gpu'] });
  const tasks = [...(await workspace.tasks(2)), await workspace.task({ required_tags: ['gpu'] })];
  await patient.sql`update tasks set status = 'backlog' where id = any(${tasks.map(({ id }) => id)}::bigint[])`;
  const parked = [...agents, other].map((agent) => agent.claim(1, { wait_s: 20 }));
  const waiting = (count: number) => until('them to wait', async () => patient.deps.desk.parked() === count);
  await waiting(4);
  await until('both kinds to have looked', () => patient.deps.desk.awaited(patient.deps).length === 2);
  await glance(patient.deps);
  expect(patient.deps.desk.parked()).toBe(4);
  await patient.sql`update tasks set status = 'inbox' where id = any(${tasks.map(({ id }) => id)}::bigint[])`;
  await glance(patient.deps);
  await waiting(1);
  for (const agent of agents) patient.deps.desk.end(agent.id);
  const given = (await Promise.all(parked)).flat().map(({ id }) => id);
  expect(given.toSorted((a, b) => a - b)).toEqual(tasks.map(({ id }) => id));
});

test('a glance costs one query, and no transaction of those who wait', async () => {
  const workspace = await patient.workspace();
  const agent = await workspace.agent();
  await workspace.task({ status: 'backlog' });
  const parked = agent.claim(1, { wait_s: 20 });
  await until('it to have looked', () => patient.deps.desk.awaited(patient.deps).length > 0);
  const before = await claimBatches(patient);
  for (let n = 0; n < 5; n++) await glance(patient.deps);
  expect(await claimBatches(patient)).toBe(before);
  patient.deps.desk.end(agent.id);
  await parked;
});

test('what an admin changed about the agent counts at the latest some glances later', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const task = await workspace.task({ required_tags: ['gpu'] });
  const parked = agent.claim(1, { wait_s: 20 });
  await until('the claim to wait', async () => app.deps.desk.parked() === 1);
  await app.sql`update agents set tags = '{gpu}' where id = ${agent.id}`;
  expect((await parked).map(({ id }) => id)).toEqual([task.id]);
});

test('an agent that waits looks for itself once in six glances', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const stop = new AbortController();
  const parked = agent.claim(1, { wait_s: 20 }, stop.signal).catch(() => []);
  const before = await claimBatches(app);
  const looks = async () => (await claimBatches(app)) - before;
  await until('three looks', async () => (await looks()) >= 3);
  const began = performance.now();
  await until('six more', async () => (await looks()) >= 9);
  expect(performance.now() - began).toBeGreaterThan(6 * 6 * RESCAN_MS * 0.8 * 0.9);
  stop.abort();
  await parked;
});
