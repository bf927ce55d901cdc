import type { Client } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import { taskIn } from './lib/board.ts';
import { freshName, type TestWorkspace } from './lib/fleet.ts';

const app = await testApp();

const say = (client: Client, task: { id: number }, text: string, reply_to?: number) =>
  client.comments.create({ params: { id: task.id }, body: { text, reply_to } });
const tokenOf = async ({ admin }: TestWorkspace, role: 'viewer' | 'operator' | 'admin') =>
  app.client((await admin.api_tokens.create({ body: { name: freshName(role), role } })).token ?? '');

describe('a comment', () => {
  test('is kept exactly, in its thread, and listed newest first by page', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const task = await workspace.task();
    const text = '  Ünïcode 🚀\r\n\t<b>"\'; drop table tasks; --\n ';
    const first = await say(admin, task, text);
    expect(first).toMatchObject({ task_id: task.id, reply_to: null, author: 'token:admin', agent: null, text });
    const answer = await say(admin, task, 'so it is', first.id);
    expect(answer.reply_to).toBe(first.id);
    const last = await say(admin, task, 'third');
    const list = (query: object) => admin.comments.list({ params: { id: task.id }, query });
    const page = await list({ limit: 2 });
    expect(page.comments.map(({ id }) => id)).toEqual([last.id, answer.id]);
    const rest = await list({ limit: 2, cursor: page.next_cursor ?? '' });
    expect(rest).toEqual({ comments: [first], next_cursor: null });
    // Talking about a task does not change it.
    expect((await admin.tasks.get({ params: { id: task.id } })).version).toBe(task.version);
  });

  test.each([
    ['blank', { text: ' \n ' }],
    ['not storable', { text: 'a\u0000' }],
    ['too long', { text: 'x'.repeat(65_537) }],
    ['answering nothing', { text: 'a', reply_to: 0 }],
    ['with a field that is not ours', { text: 'a', mood: 1 }],
  ])('that is %s is refused', async (_what, body) => {
    const workspace = await app.workspace();
    const { token } = workspace;
    const answer = await app.request('POST', `/api/v1/tasks/${(await workspace.task()).id}/comments`, { token, body });
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
  });

  test('answers only comments of its own task', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const [one, two] = [await workspace.task(), await workspace.task()];
    const there = await say(admin, one, 'here');
    await expect(say(admin, two, 'there', there.id)).rejects.toMatchObject({ status: 404 });
    expect((await admin.comments.list({ params: { id: two.id } })).comments).toEqual([]);
  });

  test('goes with its task', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const made = await workspace.task();
    await say(admin, made, 'bye', (await say(admin, made, 'hello')).id);
    await admin.tasks.delete({ params: { id: made.id } });
    await expect(say(admin, made, 'anyone?')).rejects.toMatchObject({ status: 404 });
    await app.sql`delete from tasks where id = ${made.id}`;
    expect(await app.sql`select 1 from task_comments where task_id = ${made.id}`).toHaveLength(0);
  });

  test('is told as an event, and audited, without its text', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const made = await workspace.task();
    const comment = await say(admin, made, 'the secret plan');
    const [event] = await app.sql<{ type: string; summary: unknown }[]>`
      select type, summary from events where entity_id = ${made.id} and type like 'task.comment%'`;
    expect(event).toEqual({
      type: 'task.commented',
      summary: { comment_id: comment.id, reply_to: null, mentions: [] },
    });
    const [audited] = (await admin.audit.list()).audit;
    expect(audited).toMatchObject({ action: 'comment.create', entity_id: comment.id, details: { task_id: made.id } });
    expect(JSON.stringify([event, audited])).not.toContain('secret');
  });
});

describe('who may', () => {
  test('comment: writers and agents on their own tasks; viewers and strangers not', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const [agent, colleague] = [await workspace.agent(), await workspace.agent()];
    const task = await workspace.task({ assigned_to: agent.name });
    expect(await say(agent.client, task, 'mine')).toMatchObject({ author: `agent:${agent.name}`, agent: agent.name });
    await expect(say(colleague.client, task, 'not mine')).rejects.toMatchObject({ status: 404 });
    await expect(say(await tokenOf(workspace, 'viewer'), task, 'x')).rejects.toMatchObject({ status: 403 });
    const claimed = await agent.claimOne();
    const attempt = app.client(claimed.attempt_token);
    expect(await say(attempt, task, 'at work')).toMatchObject({ author: `attempt:TASK-${task.id}`, agent: agent.name });
    await expect(say(attempt, await workspace.task(), 'elsewhere')).rejects.toMatchObject({ status: 404 });
    await agent.complete(claimed);
    await expect(say(attempt, task, 'late')).rejects.toMatchObject({ status: 401 });
    expect((await admin.comments.list({ params: { id: task.id } })).comments).toHaveLength(2);
  });

  test('change one: its author and admins; a deleted one leaves its place', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const task = await workspace.task();
    const [ann, bob] = [await tokenOf(workspace, 'operator'), await tokenOf(workspace, 'operator')];
    const comment = await say(ann, task, 'frist');
    const params = { id: task.id, comment_id: comment.id };
    await expect(bob.comments.edit({ params, body: { text: 'x' } })).rejects.toMatchObject({ status: 403 });
    await expect(bob.comments.delete({ params })).rejects.toMatchObject({ status: 403 });
    const edited = await ann.comments.edit({ params, body: { text: 'first' } });
    expect(edited).toMatchObject({ text: 'first', edited_at: expect.any(String) as string, deleted_at: null });
    const reply = await say(bob, task, 'indeed', comment.id);
    await admin.comments.delete({ params });
    const { comments } = await ann.comments.list({ params: { id: task.id } });
    expect(comments).toMatchObject([
      { id: reply.id, reply_to: comment.id, text: 'indeed' },
      { id: comment.id, text: null, deleted_at: expect.any(String) as string },
    ]);
    expect(await app.sql`select 1 from task_comments where text like '%first%'`).toHaveLength(0);
    for (const act of [
      () => ann.comments.edit({ params, body: { text: 'again' } }),
      () => ann.comments.delete({ params }),
    ])
      await expect(act()).rejects.toMatchObject({ status: 404 });
  });

  test('an agent that got the name of another does not own its comments', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const first = await workspace.agent();
    const task = await workspace.task({ assigned_to: first.name });
    const comment = await say(first.client, task, 'mine');
    await admin.agents.delete({ params: { id: first.id } });
    const second = await workspace.agent({ name: first.name });
    const params = { id: task.id, comment_id: comment.id };
    await expect(second.client.comments.edit({ params, body: { text: 'x' } })).rejects.toMatchObject({ status: 403 });
  });

  test('of another workspace: nothing exists', async () => {
    const [mine, other] = [await app.workspace(), await app.workspace()];
    const task = await mine.task();
    const comment = await say(mine.admin, task, 'ours');
    const params = { id: task.id };
    const both = { id: task.id, comment_id: comment.id };
    const theirs = { id: (await other.task()).id, comment_id: comment.id };
    const { comments } = other.admin;
    for (const act of [
      () => comments.list({ params }),
      () => comments.create({ params, body: { text: 'x' } }),
      () => comments.edit({ params: both, body: { text: 'x' } }),
      () => comments.delete({ params: both }),
      () => comments.edit({ params: theirs, body: { text: 'x' } }),
      () => comments.create({ params: { id: theirs.id }, body: { text: 'x', reply_to: comment.id } }),
    ])
      await expect(act()).rejects.toMatchObject({ status: 404, code: 'not_found' });
    expect((await mine.admin.comments.list({ params })).comments).toEqual([comment]);
  });
});

describe('a mention', () => {
  test('gives an unassigned task to the agent, which can claim it', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ required_tags: ['nobody-has-this'] });
    const comment = await say(
      workspace.admin,
      task,
      `Hey (@${agent.name.toUpperCase()}). And @nobody, a@${agent.name}?`,
    );
    expect(comment.mentions).toEqual([agent.name]);
    expect(await workspace.read(task)).toMatchObject({ status: 'assigned', assigned_to: agent.name });
    await workspace.admin.tasks.patch({ params: { id: task.id }, body: { required_tags: [] } });
    expect((await agent.claimOne()).id).toBe(task.id);
  });

  test('of names with dots takes the longest that exists', async () => {
    const workspace = await app.workspace();
    const [short, long] = [await workspace.agent({ name: 'eu' }), await workspace.agent({ name: 'eu.west' })];
    const comment = await say(workspace.admin, await workspace.task(), '@eu.west, @eu... @eu_ @eu.north');
    expect(comment.mentions).toEqual([long.name, short.name]);
  });

  test('leaves what is assigned, parked tasks parked, and everything that is not waiting', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const [agent, other] = [await workspace.agent(), await workspace.agent()];
    const mention = (task: { id: number }) => say(admin, task, `@${other.name}`);
    const assigned = await workspace.task({ assigned_to: 'somebody' });
    await mention(assigned);
    expect(await workspace.read(assigned)).toEqual(assigned);
    const parked = await workspace.task({ status: 'backlog' });
    await mention(parked);
    expect(await workspace.read(parked)).toMatchObject({ status: 'backlog', assigned_to: other.name });
    for (const status of ['in_progress', 'review', 'done', 'failed', 'cancelled'] as const) {
      const task = await taskIn(workspace, agent, status);
      expect((await mention(task)).mentions).toEqual([other.name]);
      const { lease_expires_at: _lease, ...rest } = await workspace.read(task);
      expect(rest).toMatchObject({ status, version: task.version, assigned_to: null });
    }
  });

  test('by an agent, of another workspace’s agent, or by an edit assigns nothing', async () => {
    const [workspace, elsewhere] = [await app.workspace(), await app.workspace()];
    const [agent, other, foreign] = [await workspace.agent(), await workspace.agent(), await elsewhere.agent()];
    const task = await workspace.task();
    const claimed = await agent.claimOne();
    await agent.unclaim(claimed);
    expect((await say(agent.client, task, `@${other.name} take it`)).mentions).toEqual([other.name]);
    const comment = await say(workspace.admin, task, `@${foreign.name} and @ghost`);
    expect(comment).toMatchObject({ text: `@${foreign.name} and @ghost`, mentions: [] });
    const params = { id: task.id, comment_id: comment.id };
    expect((await workspace.admin.comments.edit({ params, body: { text: `@${other.name}` } })).mentions).toEqual([
      other.name,
    ]);
    expect(await workspace.read(task)).toMatchObject({ status: 'inbox', assigned_to: null });
  });

  test('by two people at once assigns once', async () => {
    const workspace = await app.workspace();
    const agents = [await workspace.agent(), await workspace.agent()];
    for (let round = 0; round < 10; round++) {
      const task = await workspace.task();
      await Promise.all(agents.map(({ name }) => say(workspace.admin, task, `@${name}`)));
      const after = await workspace.read(task);
      expect(agents.map(({ name }) => name)).toContain(after.assigned_to);
      expect(after.version).toBe(task.version + 1);
    }
  });
});
