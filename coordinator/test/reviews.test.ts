import { taskLimits } from '@flotilla/shared';
import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import { taskIn } from './lib/board.ts';

const app = await testApp();

test('approval ends the task, with what was said about it', async () => {
  const workspace = await app.workspace();
  const task = await taskIn(workspace, await workspace.agent(), 'review');
  const params = { id: task.id };
  const done = await workspace.admin.reviews.approve({ params, body: { feedback: 'well done' } });
  expect(done).toMatchObject({ status: 'done', completed_at: expect.any(String) as string, feedback: null });
  const [comment] = (await workspace.admin.comments.list({ params })).comments;
  expect(comment?.text).toBe('well done');
  expect((await workspace.admin.reviews.list({ params })).reviews).toMatchObject([
    { verdict: 'approved', feedback: 'well done', attempt: 1, reviewer: 'token:admin', comment_id: comment?.id },
  ]);
  const { activity } = await workspace.admin.tasks.activity({ params, query: { order: 'desc', limit: 1 } });
  expect(activity).toMatchObject([
    { type: 'task.approve', who: 'token:admin', details: { was: 'review', status: 'done', owner_decided: true } },
  ]);
});

test('a rejection is read by the next attempt; the third fails the task', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const task = await workspace.task({ title: 'Write it', review: 'human', assigned_to: agent.name });
  const params = { id: task.id };
  const feedback = 'No tests.\nTry again.';
  for (let rejections = 1; rejections <= taskLimits.rejections; rejections++) {
    const claimed = await agent.claimOne();
    expect(claimed.prompt.includes('> No tests.\n> Try again.')).toBe(rejections > 1);
    await agent.complete(claimed);
    const rejected = await workspace.admin.reviews.reject({ params, body: { feedback } });
    const status = rejections === taskLimits.rejections ? 'failed' : 'assigned';
    expect(rejected).toMatchObject({ status, rejections, feedback, assigned_to: agent.name });
  }
  const { reviews, next_cursor } = await workspace.admin.reviews.list({ params, query: { limit: 2 } });
  expect(reviews.map(({ verdict, attempt }) => [verdict, attempt])).toEqual([
    ['rejected', 3],
    ['rejected', 2],
  ]);
  const rest = await workspace.admin.reviews.list({ params, query: { cursor: next_cursor ?? '' } });
  expect(rest.reviews.map(({ attempt }) => attempt)).toEqual([1]);
  // A person's retry starts anew, and still knows what was wrong.
  expect(await workspace.admin.tasks.retry({ params })).toMatchObject({ status: 'assigned', rejections: 0 });
  const claimed = await agent.claimOne();
  expect(claimed.prompt).toContain('> No tests.');
  await agent.complete(claimed);
  await workspace.admin.tasks.patch({ params, body: { status: 'done' } });
  expect(await workspace.read(task)).toMatchObject({ status: 'done', feedback: null });
  expect((await workspace.admin.reviews.list({ params })).reviews).toHaveLength(4);
});

test('only work that waits for a verdict is judged, once, and by who saw this version', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const { reviews } = workspace.admin;
  for (const status of ['backlog', 'inbox', 'in_progress', 'done', 'failed', 'cancelled'] as const) {
    const task = await taskIn(workspace, agent, status);
    const params = { id: task.id };
    const refused = { status: 409, code: status === 'in_progress' ? 'task_running' : 'invalid_transition' };
    await expect(reviews.approve({ params, body: {} })).rejects.toMatchObject(refused);
    await expect(reviews.reject({ params, body: { feedback: 'no' } })).rejects.toMatchObject(refused);
    expect((await workspace.read(task)).version).toBe(task.version);
    expect((await reviews.list({ params })).reviews).toEqual([]);
    expect((await workspace.admin.comments.list({ params })).comments).toEqual([]);
  }
  const task = await taskIn(workspace, agent, 'review');
  const params = { id: task.id };
  const old = { headers: { 'if-match': `"${task.version - 1}"` } };
  await expect(reviews.approve({ params, body: {} }, old)).rejects.toMatchObject({ status: 412 });
  const verdicts = await Promise.allSettled([
    reviews.approve({ params, body: {} }),
    reviews.reject({ params, body: { feedback: 'no' } }),
    reviews.approve({ params, body: {} }),
  ]);
  expect(verdicts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect((await reviews.list({ params })).reviews).toHaveLength(1);
});

test('only admins judge: not operators, not the agent that did the work, not by a status either', async () => {
  const workspace = await app.workspace();
  const { admin } = workspace;
  const agent = await workspace.agent();
  const task = await taskIn(workspace, agent, 'review');
  const params = { id: task.id };
  const made = await admin.api_tokens.create({ body: { name: 'op', role: 'operator' } });
  const operator = app.client(made.token ?? '');
  for (const client of [operator, agent.client]) {
    await expect(client.reviews.approve({ params, body: {} })).rejects.toMatchObject({ status: 403 });
    await expect(client.reviews.reject({ params, body: { feedback: 'x' } })).rejects.toMatchObject({ status: 403 });
  }
  for (const status of ['done', 'inbox'] as const)
    await expect(operator.tasks.patch({ params, body: { status } })).rejects.toMatchObject({ status: 403 });
  expect(await workspace.read(task)).toEqual(task);
  expect((await operator.reviews.list({ params })).reviews).toEqual([]);
  const other = await app.workspace();
  for (const act of [
    () => other.admin.reviews.approve({ params, body: {} }),
    () => other.admin.reviews.reject({ params, body: { feedback: 'x' } }),
    () => other.admin.reviews.list({ params }),
  ])
    await expect(act()).rejects.toMatchObject({ status: 404 });
});
