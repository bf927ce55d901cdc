import { idleCodes, type WhyIdle } from '@flotilla/shared';
import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import type { TestAgent, TestWorkspace } from './lib/fleet.ts';

const app = await testApp();
const seen = new Set<WhyIdle['code']>();
const idle = { slots: 2, online: true, tags: ['eu'], executors: ['command'] };

const cases: [WhyIdle['code'], (workspace: TestWorkspace, agent: TestAgent) => Promise<unknown>][] = [
  ['no_tasks', async () => {}],
  ['ready', (workspace) => workspace.task({ required_tags: ['eu'] })],
  [
    'working',
    async (workspace, agent) => {
      await workspace.task();
      await agent.claimOne();
    },
  ],
  [
    'at_capacity',
    async (workspace, agent) => {
      await workspace.tasks(3);
      await agent.claim(2);
    },
  ],
  ['tasks_need_more', (workspace) => workspace.task({ required_tags: ['gpu', 'eu'], executor: 'codex' })],
  ['tasks_deferred', (workspace) => workspace.task({ not_before: new Date(Date.now() + 3_600_000).toISOString() })],
  ['paused', (workspace) => workspace.pause({ reason: 'provider outage' })],
  [
    'draining',
    (workspace, agent) => workspace.admin.agents.drain({ params: { id: agent.id }, body: { reason: 'kernel' } }),
  ],
  [
    'disabled',
    (workspace, agent) => workspace.admin.agents.patch({ params: { id: agent.id }, body: { disabled: true } }),
  ],
];

test.each(cases)('%s', async (code, arrange) => {
  const workspace = await app.workspace();
  const agent = await workspace.agent(idle);
  await arrange(workspace, agent);
  const why = await workspace.admin.agents.whyIdle({ params: { id: agent.id } });
  expect(why.code).toBe(code);
  if (code === 'tasks_need_more') expect(why.nearest?.missing).toBe('tag gpu, executor codex');
  if (code === 'ready') expect((await agent.claim()).length).toBe(1);
  seen.add(why.code);
});

test('offline, and every reason was seen', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  await workspace.task();
  seen.add((await workspace.admin.agents.whyIdle({ params: { id: agent.id } })).code);
  expect([...seen].toSorted()).toEqual(idleCodes.toSorted());
});

test('ready > 0, started = 0 is an alert while a free agent does not claim, and only then', async () => {
  const stalled = async () => {
    const { text } = await app.request('GET', '/metrics');
    return /^flotilla_dispatch_stalled (\d)/m.exec(text)?.[1];
  };
  const workspace = await app.workspace();
  const agent = await workspace.agent({ ...idle, tags: ['stall'] });
  await workspace.task({ required_tags: ['gpu'] });
  await app.shiftClock(70_000);
  await agent.beat();
  expect(await stalled()).toBe('0');
  await workspace.task({ required_tags: ['stall'] });
  expect(await stalled()).toBe('0');
  await app.shiftClock(70_000);
  await agent.beat();
  expect(await stalled()).toBe('1');
  await agent.claimOne();
  expect(await stalled()).toBe('0');
});
