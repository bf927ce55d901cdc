import type { BulkTasks } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import { taskIn } from './lib/board.ts';
import type { TestWorkspace } from './lib/fleet.ts';

const app = await testApp();
const NOWHERE = 999_999_999;

const bulk = ({ admin }: TestWorkspace, tasks: { id: number }[], body: Omit<BulkTasks, 'ids'>) =>
  admin.tasks.bulk({ body: { ids: tasks.map(({ id }) => id), ...body } });

describe('bulk', () => {
  test('acts on each for itself and says what became of it, in order', async () => {
    const [workspace, other] = [await app.workspace(), await app.workspace()];
    const agent = await workspace.agent();
    const done = await taskIn(workspace, agent, 'done');
    const running = await taskIn(workspace, agent, 'in_progress');
    const queued = await workspace.task();
    const foreign = await other.task();
    const answer = await bulk(workspace, [done, foreign, queued, { id: NOWHERE }, running, queued], {
      action: 'backlog',
    });
    expect(answer).toMatchObject({ succeeded: 1, failed: 4 });
    expect(answer.outcomes.map(({ id, ok, status, error }) => [id, ok, status, error?.code])).toEqual([
      [done.id, false, null, 'invalid_transition'],
      [foreign.id, false, null, 'not_found'],
      [queued.id, true, 'backlog', undefined],
      [NOWHERE, false, null, 'not_found'],
      [running.id, false, null, 'task_running'],
    ]);
    expect(await workspace.read(done)).toEqual(done);
    expect(await other.read(foreign)).toEqual(foreign);
  });

  test('knows every action', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const tasks = await workspace.tasks(3, { tags: ['old', 'both'] });
    const states = async () => Promise.all(tasks.map((task) => workspace.read(task)));
    const check = async (body: Omit<BulkTasks, 'ids'>, expected: object) => {
      expect(await bulk(workspace, tasks, body), body.action).toMatchObject({ succeeded: 3, failed: 0 });
      for (const task of await states()) expect(task, body.action).toMatchObject(expected);
    };
    await check({ action: 'backlog' }, { status: 'backlog' });
    await check({ action: 'inbox' }, { status: 'inbox' });
    await check({ action: 'assign', assigned_to: agent.name }, { status: 'assigned', assigned_to: agent.name });
    await check({ action: 'unassign' }, { status: 'inbox', assigned_to: null });
    await check({ action: 'priority', priority: 'critical' }, { priority: 'critical' });
    await check({ action: 'labels', add_tags: ['new', 'both'], remove_tags: ['old'] }, { tags: ['both', 'new'] });
    const versions = (await states()).map(({ version }) => version);
    await check({ action: 'labels', add_tags: ['new'] }, { tags: ['both', 'new'] });
    expect((await states()).map(({ version }) => version)).toEqual(versions);
    await check({ action: 'cancel', reason: 'over' }, { status: 'cancelled' });
    await check({ action: 'retry' }, { status: 'inbox' });
    expect(await bulk(workspace, tasks, { action: 'delete' })).toMatchObject({
      succeeded: 3,
      outcomes: [{ status: null }, {}, {}],
    });
    for (const task of tasks) await expect(workspace.read(task)).rejects.toMatchObject({ status: 404 });
  });

  test('does not judge for who may not, and never half', async () => {
    const workspace = await app.workspace();
    const review = await taskIn(workspace, await workspace.agent(), 'review');
    const { token } = await workspace.admin.api_tokens.create({ body: { name: 'op', role: 'operator' } });
    const answer = await app.client(token ?? '').tasks.bulk({ body: { ids: [review.id], action: 'inbox' } });
    expect(answer.outcomes[0]?.error?.code).toBe('forbidden');
    expect(await workspace.read(review)).toEqual(review);
    expect((await workspace.admin.reviews.list({ params: { id: review.id } })).reviews).toEqual([]);
    const task = await workspace.task({ tags: Array.from({ length: 32 }, (_, index) => `t${index}`) });
    const { outcomes } = await bulk(workspace, [task], { action: 'labels', add_tags: ['more'] });
    expect(outcomes[0]?.error?.code).toBe('invalid_input');
  });

  test.each([
    { ids: [], action: 'retry' },
    { ids: Array.from({ length: 501 }, (_, index) => index + 1), action: 'retry' },
    { ids: [1], action: 'fly' },
    { ids: [1], action: 'assign' },
    { ids: [1], action: 'priority' },
    { ids: [1], action: 'labels' },
    { ids: [1], action: 'retry', priority: 'low' },
    { ids: ['1'], action: 'retry' },
    { ids: [1], action: 'retry', colour: 'red' },
  ])('refuses a body that is not whole (%#)', async (body) => {
    expect(await app.request('POST', '/api/v1/tasks/bulk', { token: app.admin_token, body })).toMatchObject({
      status: 400,
      body: { code: 'invalid_input' },
    });
  });

  test('of two who label at once both count', async () => {
    const workspace = await app.workspace();
    const task = await workspace.task();
    await Promise.all(
      ['a', 'b', 'c', 'd'].map((tag) => bulk(workspace, [task], { action: 'labels', add_tags: [tag] })),
    );
    expect((await workspace.read(task)).tags.toSorted()).toEqual(['a', 'b', 'c', 'd']);
  });
});

describe('a duplicate', () => {
  test('has the content and demands, not the history or the times', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const fields = {
      title: 'Sort',
      description: 'the mail',
      priority: 'high',
      tags: ['mail'],
      required_tags: ['eu'],
      assigned_to: agent.name,
      executor: 'claude',
      model: 'm',
      timeout_s: 60,
      on_host_loss: 'hold',
      review: 'human',
      concurrency_key: 'mail',
      concurrency_limit: 2,
      metadata: { a: [1, null] },
    } as const;
    const task = await workspace.task({ ...structuredClone(fields), due_date: '2031-01-01T00:00:00.000Z' } as never); // readonly literals
    const params = { id: task.id };
    await workspace.admin.comments.create({ params, body: { text: 'old' } });
    await workspace.admin.tasks.cancel({ params, body: {} });
    const copy = await workspace.admin.tasks.duplicate({ params, body: {} });
    expect(copy).toMatchObject({ ...fields, status: 'assigned', due_date: null, attempts: 0, version: 1 });
    expect(copy.id).not.toBe(task.id);
    expect((await workspace.admin.comments.list({ params: { id: copy.id } })).comments).toEqual([]);
    const parked = await workspace.admin.tasks.duplicate({ params, body: { title: 'Again', status: 'backlog' } });
    expect(parked).toMatchObject({ title: 'Again', status: 'backlog', description: 'the mail' });
    const other = await app.workspace();
    await expect(other.admin.tasks.duplicate({ params, body: {} })).rejects.toMatchObject({ status: 404 });
  });
});
