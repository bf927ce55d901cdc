import { type CreateTask, type WaitingCode, waitingCodes } from '@flotilla/shared';
import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import type { TestAgent, TestWorkspace } from './lib/fleet.ts';

const app = await testApp();
const seen = new Set<WaitingCode>();

const hours = (count: number) => new Date(Date.now() + count * 3_600_000).toISOString();
const drain = (workspace: TestWorkspace, agent: TestAgent) =>
  workspace.admin.agents.drain({ params: { id: agent.id }, body: {} });
const disable = (workspace: TestWorkspace, agent: TestAgent) =>
  workspace.admin.agents.patch({ params: { id: agent.id }, body: { disabled: true } });

/** Creates a task, brings about what it shall wait for, and reads the reason. */
const cases: [WaitingCode, (workspace: TestWorkspace) => Promise<Partial<CreateTask>>][] = [
  ['ready', (workspace) => workspace.agent({ online: true }).then(() => ({}))],
  [
    'paused',
    async (workspace) => {
      await workspace.agent({ online: true });
      await workspace.pause();
      return {};
    },
  ],
  ['backlog', async () => ({ status: 'backlog' })],
  ['not_before', async () => ({ not_before: hours(1) })],
  [
    'concurrency_key',
    async (workspace) => {
      const agent = await workspace.agent({ slots: 2, online: true });
      await workspace.task({ concurrency_key: 'deploy' });
      await agent.claimOne();
      return { concurrency_key: 'deploy' };
    },
  ],
  ['unknown_agent', async () => ({ assigned_to: 'nobody' })],
  [
    'agent_disabled',
    async (workspace) => {
      const agent = await workspace.agent({ online: true });
      await disable(workspace, agent);
      return { assigned_to: agent.name };
    },
  ],
  [
    'agent_draining',
    async (workspace) => {
      const agent = await workspace.agent({ online: true });
      await drain(workspace, agent);
      return { assigned_to: agent.name };
    },
  ],
  ['agent_offline', async (workspace) => ({ assigned_to: (await workspace.agent()).name })],
  [
    'agent_at_capacity',
    async (workspace) => {
      const agent = await workspace.agent({ online: true });
      await workspace.task();
      await agent.claimOne();
      return { assigned_to: agent.name };
    },
  ],
  ['no_agents', async () => ({})],
  [
    'executor',
    (workspace) => workspace.agent({ online: true, executors: ['codex'] }).then(() => ({ executor: 'claude' })),
  ],
  [
    'tags',
    (workspace) => workspace.agent({ online: true, tags: ['eu'] }).then(() => ({ required_tags: ['gpu', 'eu'] })),
  ],
  [
    'all_disabled',
    async (workspace) => {
      await disable(workspace, await workspace.agent({ online: true }));
      return {};
    },
  ],
  [
    'all_draining',
    async (workspace) => {
      await drain(workspace, await workspace.agent({ online: true }));
      await workspace.agent();
      return {};
    },
  ],
  ['all_offline', (workspace) => workspace.agent().then(() => ({}))],
  [
    'at_capacity',
    async (workspace) => {
      const agent = await workspace.agent({ online: true });
      await workspace.task();
      await agent.claimOne();
      return {};
    },
  ],
];

test.each(cases)('%s', async (code, arrange) => {
  const workspace = await app.workspace();
  const made = await workspace.task(await arrange(workspace));
  // Who looks for work finds its key in use.
  if (code === 'concurrency_key') await (await workspace.agent({ online: true })).claim();
  const task = await workspace.read(made);
  expect(task.waiting_for?.code).toBe(code);
  expect(task.waiting_for?.message).not.toBe('');
  const { waiting } = await workspace.admin.workspaces.status();
  expect(waiting[code]).toBe(1);
  if (code === 'tags')
    expect(task.waiting_for?.nearest).toEqual({ agent: expect.any(String) as string, missing: 'tags gpu' });
  if (task.waiting_for !== null) seen.add(task.waiting_for.code);
});

test('agents of one kind are counted, and the nearest is named whatever there are of it', async () => {
  const workspace = await app.workspace();
  const gpus = [];
  for (let count = 0; count < 3; count++) gpus.push(await workspace.agent({ online: true, tags: ['eu', 'gpu'] }));
  await workspace.agent({ online: true, tags: ['eu'] });
  for (const agent of gpus) {
    await workspace.task({ required_tags: ['gpu'] });
    await agent.claimOne();
  }
  const full = await workspace.task({ required_tags: ['gpu'] });
  expect((await workspace.read(full)).waiting_for).toMatchObject({
    code: 'at_capacity',
    message: 'All slots of the 3 matching online agents are in use.',
  });
  const lacking = await workspace.task({ required_tags: ['gpu', 'us'] });
  expect((await workspace.read(lacking)).waiting_for).toMatchObject({
    code: 'tags',
    nearest: { agent: gpus.map(({ name }) => name).toSorted()[0], missing: 'tags us' },
  });
});

test('deferred after a failure, and nothing once it runs or ended', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ online: true });
  const task = await workspace.task();
  const claimed = await agent.claimOne();
  expect((await workspace.read(task)).waiting_for).toBeNull();
  await agent.fail(claimed, { retry_after_s: 60 });
  const { waiting_for } = await workspace.read(task);
  expect(waiting_for?.code).toBe('deferred');
  if (waiting_for !== null) seen.add(waiting_for.code);
  await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
  expect((await workspace.read(task)).waiting_for).toBeNull();
});

test('a question is named, and what is left to say of it once a person answered', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ online: true });
  const task = await workspace.task();
  await agent.ask(await agent.claimOne(), `Which\n ${'colour '.repeat(100)}?`);
  const { waiting_for } = await workspace.read(task);
  expect(waiting_for).toMatchObject({ code: 'answer', nearest: null });
  expect(waiting_for?.message).toMatch(/^It waits for a person to answer comment \d+: "Which colour (colour )+/);
  expect(waiting_for?.message.length).toBeLessThan(260);
  const status = await workspace.admin.workspaces.status();
  expect(status.waiting).toEqual({ answer: 1 });
  seen.add('answer');
  await workspace.admin.comments.create({ params: { id: task.id }, body: { text: 'blue' } });
  expect((await workspace.read(task)).waiting_for?.code).toBe('ready');
});

test('an agent’s own lack of what a task assigned to it needs', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ online: true, tags: ['eu'] });
  const task = await workspace.task({ assigned_to: agent.name, required_tags: ['gpu'] });
  expect(task.waiting_for).toMatchObject({ code: 'tags', nearest: { agent: agent.name, missing: 'tags gpu' } });
  expect(await agent.claim()).toEqual([]);
  await workspace.admin.agents.patch({ params: { id: agent.id }, body: { tags: ['eu', 'gpu'] } });
  expect((await workspace.read(task)).waiting_for?.code).toBe('ready');
  expect((await agent.claimOne()).id).toBe(task.id);
});

test('the nearest agent lacks the fewest things, whatever their names; then it is online; then its name comes first', async () => {
  const workspace = await app.workspace();
  const needs = { required_tags: ['a', 'b', 'a-very-long-tag-indeed'], executor: 'codex' };
  const nearest = async () => (await workspace.read(task)).waiting_for?.nearest;
  // Two short tags are more than a long one.
  const far = await workspace.agent({ online: true, executors: ['codex'], tags: ['a-very-long-tag-indeed'] });
  const task = await workspace.task(needs);
  expect(task.waiting_for).toMatchObject({
    code: 'tags',
    message: `No agent has all that it needs; the nearest, ${far.name}, lacks tags a, b.`,
    nearest: { agent: far.name, missing: 'tags a, b' },
  });
  const offline = await workspace.agent({ executors: ['codex'], tags: ['a', 'b'] });
  expect(await nearest()).toEqual({ agent: offline.name, missing: 'tags a-very-long-tag-indeed' });
  // As near, and online: the first of them by name, although it came later.
  const second = await workspace.agent({ name: 'online-b', online: true, executors: ['codex'], tags: ['a', 'b'] });
  expect((await nearest())?.agent).toBe(second.name);
  const first = await workspace.agent({ name: 'online-a', online: true, executors: ['codex'], tags: ['a', 'b'] });
  expect((await nearest())?.agent).toBe(first.name);
  // One executor is as much as one tag, and both together are two things, all of which are said.
  await workspace.agent({ name: 'a', online: true, executors: ['claude'], tags: needs.required_tags });
  expect(await nearest()).toEqual({ agent: 'a', missing: 'executor codex' });
  const other = await app.workspace();
  await other.agent({ name: 'alone', online: true, executors: ['claude'], tags: ['b'] });
  expect((await other.task(needs)).waiting_for).toMatchObject({
    code: 'executor',
    nearest: { agent: 'alone', missing: 'executor codex and tags a, a-very-long-tag-indeed' },
  });
});

test('each reason was seen', () => {
  expect([...seen].toSorted()).toEqual(waitingCodes.toSorted());
});
