import type { Activity, CallInput, api } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { deleteExpired } from '../src/operations/retention.ts';
import { testApp } from './lib/app.ts';
import type { TestWorkspace } from './lib/fleet.ts';

const app = await testApp();

type Query = NonNullable<CallInput<typeof api.tasks.activity>['query']>;
const read = async ({ admin }: TestWorkspace, task: { id: number }, query: Query = {}): Promise<Activity[]> =>
  (await admin.tasks.activity({ params: { id: task.id }, query })).activity;
const told = (activity: Activity[]) => activity.map(({ type, who }) => `${type} ${who ?? '-'}`);

/** A task that went through most of what can happen. */
const eventful = async (workspace: TestWorkspace) => {
  const { admin } = workspace;
  const agent = await workspace.agent({ name: 'scout' });
  const task = await workspace.task({ status: 'backlog' });
  const params = { id: task.id };
  await admin.tasks.assign({ params, body: { assigned_to: 'scout' } });
  await admin.tasks.patch({ params, body: { status: 'assigned', title: 'better' } });
  const first = await agent.claimOne();
  await agent.start(first);
  await agent.fail(first, { retryable: false, kind: 'exit_code', message: 'it broke' });
  await admin.comments.create({ params, body: { text: 'try harder' } });
  await admin.tasks.retry({ params });
  await agent.complete(await agent.claimOne());
  return task;
};
const story = [
  'task.create token:admin',
  'task.update token:admin',
  'task.update token:admin',
  'attempt.claimed agent:scout',
  'attempt.started agent:scout',
  'attempt.ended agent:scout',
  'comment token:admin',
  'task.retry token:admin',
  'attempt.claimed agent:scout',
  'attempt.ended agent:scout',
  'task.ended -',
];

describe('the timeline of a task', () => {
  test('tells in order who did what', async () => {
    const workspace = await app.workspace();
    const activity = await read(workspace, await eventful(workspace));
    expect(told(activity)).toEqual(story);
    expect(activity[1]?.details).toMatchObject({ was: 'backlog', status: 'backlog', assigned_to: 'scout' });
    expect(activity[2]?.details).toMatchObject({ was: 'backlog', status: 'assigned', fields: ['title', 'status'] });
    expect(activity[5]).toMatchObject({ attempt: 1, details: { state: 'failed', failure: { message: 'it broke' } } });
    expect(activity[6]).toMatchObject({ text: 'try harder', comment_id: expect.any(Number) as number });
    expect(activity[7]?.details).toMatchObject({ was: 'failed', status: 'assigned' });
    expect(activity.at(-1)?.details).toEqual({ status: 'done' });
    expect(activity.map(({ at }) => at)).toEqual(activity.map(({ at }) => at).toSorted());
  });

  test('pages in both directions without gaps or repeats', async () => {
    const workspace = await app.workspace();
    const task = await eventful(workspace);
    for (const order of ['asc', 'desc'] as const) {
      const seen: Activity[] = [];
      let cursor: string | undefined;
      do {
        const page = await workspace.admin.tasks.activity({
          params: { id: task.id },
          query: { limit: 2, order, cursor },
        });
        expect(page.activity.length).toBeLessThanOrEqual(2);
        seen.push(...page.activity);
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined);
      expect(told(seen)).toEqual(order === 'asc' ? story : story.toReversed());
    }
    for (const cursor of [
      'x',
      Buffer.from('id:5').toString('base64url'),
      Buffer.from('at:1:2:x').toString('base64url'),
    ]) {
      const asked = app.request('GET', `/api/v1/tasks/${task.id}/activity?cursor=${cursor}`, {
        token: workspace.token,
      });
      expect(await asked).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    }
  });

  test('says who ended it: a person once, an attempt by its end', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const cancelled = await workspace.task();
    await workspace.admin.tasks.cancel({ params: { id: cancelled.id }, body: { reason: 'no need' } });
    const [, cancel, ...none] = await read(workspace, cancelled);
    expect(cancel).toMatchObject({
      type: 'task.cancel',
      details: { reason: 'no need', was: 'inbox', status: 'cancelled' },
    });
    expect(none).toEqual([]);
    const asked = await workspace.task();
    const claimed = await agent.claimOne();
    await workspace.admin.tasks.cancel({ params: { id: asked.id }, body: {} });
    await agent.fail(claimed, { retryable: false, kind: 'cancelled' });
    // An edit of an ended task is not what ended it.
    await workspace.admin.tasks.patch({ params: { id: asked.id }, body: { priority: 'low' } });
    const types = (await read(workspace, asked)).map(({ type }) => type);
    expect(types).toEqual([
      'task.create',
      'attempt.claimed',
      'task.cancel',
      'attempt.ended',
      'task.ended',
      'task.update',
    ]);
  });

  test('outlives the events', async () => {
    const workspace = await app.workspace();
    const task = await eventful(workspace);
    await app.sequence();
    await app.shiftClock(8 * 86_400_000);
    expect((await deleteExpired(app.deps)).events).toBeGreaterThan(0);
    expect(told(await read(workspace, task))).toEqual(story);
  });

  test('is there for those who see the task, and nobody else', async () => {
    const [workspace, other] = [await app.workspace(), await app.workspace()];
    const task = await eventful(workspace);
    const params = { id: task.id };
    const stranger = await workspace.agent();
    for (const client of [other.admin, stranger.client])
      await expect(client.tasks.activity({ params })).rejects.toMatchObject({ status: 404 });
    expect(await read(other, await other.task())).toHaveLength(1);
    await workspace.admin.tasks.delete({ params });
    await expect(workspace.admin.tasks.activity({ params })).rejects.toMatchObject({ status: 404 });
  });
});
