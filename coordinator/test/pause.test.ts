import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import { until } from './lib/until.ts';

// A rescan would hide a wake that is missing.
const app = await testApp({ FLOTILLA_RESCAN_MS: '60000' });

test('a pause stops claims of every kind, what runs goes on, and the status says so', async () => {
  const workspace = await app.workspace();
  const [agent, poller] = [await workspace.agent({ slots: 4, online: true }), await workspace.pollAgent()];
  await workspace.tasks(4);
  const held = await agent.claimOne();
  await workspace.pause({ reason: 'the model is wrong' });
  expect(await agent.claim(3)).toEqual([]);
  expect((await poller.client.tasks.queue()).reason).toBe('paused');
  const { pause, waiting } = await workspace.admin.workspaces.status();
  expect(pause).toMatchObject({ by: 'token:admin', reason: 'the model is wrong' });
  expect(waiting).toEqual({ paused: 3 });
  expect((await agent.beat([held])).attempts).toMatchObject([{ verdict: 'renewed' }]);
  expect(await agent.complete(held)).toEqual({ status: 'done' });
  // Neither does who registers meanwhile get anything.
  const late = await workspace.agent({ online: true });
  const later = await workspace.pollAgent();
  expect(await late.claim()).toEqual([]);
  expect((await later.client.tasks.queue()).reason).toBe('paused');
  await workspace.resume();
  expect((await workspace.admin.workspaces.status()).pause).toBeNull();
  expect(await late.claim()).toHaveLength(1);
  expect((await later.client.tasks.queue()).reason).toBe('assigned');
});

test('another workspace goes on, and cannot be paused from here', async () => {
  const [ours, theirs] = [await app.workspace(), await app.workspace()];
  await ours.pause();
  const agent = await theirs.agent({ online: true });
  await theirs.task();
  await expect(ours.admin.workspaces.pause({ params: { id: theirs.id }, body: {} })).rejects.toMatchObject({
    status: 404,
  });
  expect(await agent.claim()).toHaveLength(1);
});

test('parked claims stay parked through a pause, and get work at once when it ends', async () => {
  const workspace = await app.workspace();
  const agents = await Promise.all([workspace.agent({ online: true }), workspace.agent({ online: true })]);
  await workspace.pause();
  let answered = 0;
  const parked = agents.map((agent) =>
    agent.claim(1, { wait_s: 30 }).then((tasks) => {
      answered += 1;
      return tasks;
    }),
  );
  await until('both are parked', () => app.deps.desk.parked() === 2);
  await workspace.tasks(2);
  await Promise.all(agents.map((agent) => agent.beat()));
  expect(answered).toBe(0);
  await workspace.resume();
  expect((await Promise.all(parked)).map((tasks) => tasks.length)).toEqual([1, 1]);
});

test('no claim commits after a pause answered, 100 interleavings', async () => {
  const workspace = await app.workspace();
  const agents = await Promise.all(Array.from({ length: 4 }, () => workspace.agent({ slots: 32, online: true })));
  await workspace.tasks(40);
  const held = async () => {
    const [row] = await app.sql<{ count: number }[]>`
      select count(*)::int as count from attempts where workspace_id = ${workspace.id} and ended_at is null`;
    return row?.count ?? 0;
  };
  for (let round = 0; round < 100; round++) {
    const claims = agents.map((agent) => agent.claim(1));
    await workspace.pause();
    const before = await held();
    await Promise.all(claims);
    expect(await held()).toBe(before);
    await workspace.resume();
    if (round % 8 === 7) await workspace.tasks(20);
  }
});

test('an emergency stop cancels what runs by the ordinary way, is audited and seen', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ slots: 3, online: true });
  const tasks = await workspace.tasks(4);
  const held = await agent.claim(3);
  expect(await workspace.pause({ kill: true, reason: 'it deletes things' })).toMatchObject({ cancelling: 3 });
  expect((await agent.beat(held)).attempts.map(({ verdict }) => verdict)).toEqual(['cancel', 'cancel', 'cancel']);
  for (const task of held) await agent.fail(task, { kind: 'cancelled', retryable: false });
  const statuses = await Promise.all(tasks.map((task) => workspace.read(task)));
  expect(statuses.map(({ status }) => status).toSorted()).toEqual(['cancelled', 'cancelled', 'cancelled', 'inbox']);
  // Repeating it asks nobody twice.
  expect(await workspace.pause({ kill: true })).toMatchObject({ cancelling: 0 });
  await app.sequence();
  const { audit } = await workspace.admin.audit.list({ query: { limit: 50 } });
  expect(audit.filter(({ action }) => action === 'workspace.stop')).toMatchObject([
    { details: { reason: null } },
    { details: { reason: 'it deletes things' } },
  ]);
  expect(audit.filter(({ action }) => action === 'task.cancel')).toHaveLength(3);
  const types = await app.sql<{ type: string }[]>`
    select type from events where workspace_id = ${workspace.id} and type like 'workspace.%' order by seq`;
  expect(types.map(({ type }) => type)).toEqual(['workspace.stopped', 'workspace.stopped']);
});
