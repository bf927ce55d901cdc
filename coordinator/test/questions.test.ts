// Longer than most: asking, answering, everything that happens meanwhile, and their races share one conversation.
import { taskLimits } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { failLate } from '../src/tasks/expire/due.ts';
import { expireLeases } from '../src/tasks/expire/expire.ts';
import { testApp } from './lib/app.ts';
import type { TestWorkspace } from './lib/fleet.ts';
import { until } from './lib/until.ts';

const app = await testApp();

const say = ({ admin }: TestWorkspace, task: { id: number }, text: string, reply_to?: number) =>
  admin.comments.create({ params: { id: task.id }, body: { text, reply_to } });
const eventsOf = (task: { id: number }) =>
  app.sql<{ type: string; version: number; summary: Record<string, unknown> }[]>`
    select type, version, summary from events where entity_id = ${task.id} and type like 'task.%' order by id`;

/** A task whose first attempt asked. */
const asked = async (fields: Parameters<TestWorkspace['task']>[0] = {}, question = 'Which colour?') => {
  const workspace = await app.workspace();
  const agent = await workspace.agent({ slots: 4, online: true });
  const task = await workspace.task({ title: 'Paint it', ...fields });
  const held = await agent.claimOne();
  const { status } = await agent.ask(held, question);
  const { asked_comment_id } = await workspace.read(task);
  const params = { id: task.id };
  return { workspace, agent, task, held, status, params, comment_id: asked_comment_id ?? 0 };
};

describe('a question', () => {
  test('ends the attempt and waits; the answer wakes who waits for work, and both are in the prompt', async () => {
    const question = '  Blue\n> or "red"?\r\n';
    const { workspace, agent, task, held, status, params, comment_id } = await asked({}, question);
    expect(status).toBe('inbox');
    expect(await workspace.read(task)).toMatchObject({
      status: 'inbox',
      status_sentence: 'It asked a question; the answer starts the next attempt.',
      waiting_for: { code: 'answer' },
      question,
      deferred_until: null,
      claimed_by: null,
      failure: null,
      dispatch_attempts: 0,
      stale_requeues: 0,
      attempts: 1,
    });
    expect(await workspace.attempts(task)).toMatchObject([{ state: 'released', failure: { kind: 'asked' } }]);
    expect((await workspace.agentRow(agent)).slots_used).toBe(0);
    const { comments } = await workspace.admin.comments.list({ params });
    expect(comments).toMatchObject([
      { id: comment_id, text: question, question: true, reply_to: null, agent: agent.name },
    ]);
    await app.shiftClock(365 * 86_400_000);
    expect(await agent.claim()).toEqual([]);

    const parked = agent.claim(1, { wait_s: 30 });
    const answer = 'Blue.\n\n> not red';
    expect(await say(workspace, task, answer)).toMatchObject({ reply_to: comment_id, text: answer, question: false });
    const [next] = await parked;
    expect(next).toMatchObject({ id: task.id, attempt: 2 });
    expect(next?.epoch).toBeGreaterThan(held.epoch);
    expect(next?.prompt).toBe(
      'Paint it\n\nAn earlier attempt asked a person:\n\n>   Blue\n> > or "red"?\r\n> \n\nThe answer was:\n\n> Blue.\n> \n> > not red',
    );
    expect(await workspace.read(task)).toMatchObject({ asked_comment_id: null, question: null, waiting_for: null });
    const events = await eventsOf(task);
    expect(events.map(({ type }) => type)).toEqual([
      'task.created',
      'task.claimed',
      'task.asked',
      'task.commented',
      'task.answered',
      'task.claimed',
    ]);
    expect(events[2]?.summary).toMatchObject({ status: 'inbox', comment_id });
    expect(events.filter(({ type }) => type !== 'task.commented').map(({ version }) => version)).toEqual([
      1, 2, 3, 4, 5,
    ]);
    expect(JSON.stringify(events)).not.toMatch(/blue|not red/i);
    const { activity } = await workspace.admin.tasks.activity({ params, query: { order: 'asc' } });
    const of = (wanted: string) => activity.filter(({ type }) => type === wanted);
    expect(of('comment')).toMatchObject([
      { text: question, details: { question: true } },
      { text: answer, details: { question: false, reply_to: comment_id } },
    ]);
    expect(of('task.answer')).toMatchObject([{ who: 'token:admin', details: { comment_id } }]);
  });

  test('is taken once: again it answers as before, another report is late and changes nothing', async () => {
    const { workspace, agent, task, held, params } = await asked();
    const before = await workspace.read(task);
    expect(await agent.ask(held)).toEqual({ status: 'inbox' });
    const late = { status: 409, code: 'lease_lost' };
    await expect(agent.ask(held, 'Another?')).rejects.toMatchObject(late);
    await expect(agent.complete(held)).rejects.toMatchObject(late);
    await expect(agent.fail(held)).rejects.toMatchObject(late);
    expect(await agent.unclaim(held)).toBeNull();
    expect(await workspace.read(task)).toEqual(before);
    expect((await workspace.admin.comments.list({ params })).comments).toHaveLength(1);
    await say(workspace, task, 'blue');
    await agent.claimOne();
    expect(await agent.ask(held)).toEqual({ status: 'in_progress' });
  });

  test('takes usage, log sizes and session with it', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    const { epoch } = await agent.claimOne();
    const usage = { seq: 1, mode: 'cumulative', input_tokens: 7, output_tokens: 3, cost_usd_micros: 12 } as const;
    const body = { epoch, question: 'Why?', session_id: 's-1', usage, log_sizes: { stdout: 0 } };
    await agent.client.tasks.ask({ params: { id: task.id }, body });
    expect(await workspace.attempts(task)).toMatchObject([
      { session_id: 's-1', input_tokens: 7, output_tokens: 3, cost_usd_micros: 12, log: { stdout: { final_size: 0 } } },
    ]);
  });

  test('by an attempt itself is told to its host at once: its parked claim ends, and its beat says so', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 2, online: true });
    const task = await workspace.task();
    const held = await agent.claimOne();
    await agent.start(held);
    const parked = agent.claim(1, { wait_s: 50 });
    await until('the parked claim', () => app.deps.desk.parked() === 1);
    const body = { epoch: held.epoch, question: 'Why?' };
    await app.client(held.attempt_token).tasks.ask({ params: { id: task.id }, body });
    expect(await parked).toEqual([]);
    const { attempts } = await agent.beat([held]);
    expect(attempts).toMatchObject([{ task_id: task.id, verdict: 'lost' }]);
  });

  test('is asked with the token of the attempt itself, that ends with it', async () => {
    const workspace = await app.workspace();
    for (const poller of [false, true]) {
      const agent = poller ? await workspace.pollAgent() : await workspace.agent();
      const task = await workspace.task({ assigned_to: agent.name });
      const held = await agent.claimOne();
      const attempt = app.client(held.attempt_token);
      const ask = (id: number) => attempt.tasks.ask({ params: { id }, body: { epoch: held.epoch, question: 'Why?' } });
      await expect(ask((await workspace.task({ status: 'backlog' })).id)).rejects.toMatchObject({ status: 404 });
      expect(await ask(task.id)).toEqual({ status: 'assigned' });
      await expect(ask(task.id)).rejects.toMatchObject({ status: 401 });
      const { comments } = await workspace.admin.comments.list({ params: { id: task.id } });
      expect(comments).toMatchObject([{ author: `attempt:TASK-${task.id}`, agent: agent.name, question: true }]);
      await say(workspace, task, 'because');
      expect((await agent.claimOne()).prompt).toContain('> because');
    }
  });

  test('after a question: all that was asked and answered is said, in order; what was not answered is not', async () => {
    const { workspace, agent, task, comment_id } = await asked({ description: 'All of it.' }, 'first?');
    await say(workspace, task, 'one', comment_id);
    // More of it, until somebody starts.
    await say(workspace, task, 'and a half', comment_id);
    await agent.ask(await agent.claimOne(), 'second?');
    await say(workspace, task, 'two');
    const { prompt } = await agent.claimOne();
    expect(prompt.match(/^> .*$/gm)).toEqual(['> first?', '> one', '> and a half', '> second?', '> two']);
  });

  test.each([
    ['blank', { question: ' \n' }],
    ['too long', { question: 'x'.repeat(10_001) }],
    ['not storable', { question: 'a\u0000' }],
    ['not there', {}],
    ['of no epoch', { question: 'a', epoch: undefined }],
  ])('that is %s is refused', async (_what, body) => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    const { epoch } = await agent.claimOne();
    const answer = await app.request('POST', `/api/v1/tasks/${task.id}/ask`, {
      token: agent.token,
      body: { epoch, ...body },
    });
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    expect((await workspace.read(task)).status).toBe('in_progress');
  });

  test('of a stranger means nothing; people cannot ask', async () => {
    const [mine, other] = [await app.workspace(), await app.workspace()];
    const [agent, colleague, foreign] = [await mine.agent(), await mine.agent(), await other.agent()];
    const task = await mine.task();
    const held = await agent.claimOne();
    for (const stranger of [colleague, foreign])
      await expect(stranger.ask(held)).rejects.toMatchObject({ status: 404 });
    const body = { epoch: held.epoch, question: 'a?' };
    await expect(mine.admin.tasks.ask({ params: { id: task.id }, body })).rejects.toMatchObject({ status: 403 });
    expect((await mine.read(task)).status).toBe('in_progress');
    await agent.ask(held);
    await expect(say(other, task, 'blue')).rejects.toMatchObject({ status: 404 });
    expect((await mine.read(task)).waiting_for?.code).toBe('answer');
  });

  test('ends a task that was cancelled, or had its last attempt', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 2 });
    const cancelled = await workspace.task();
    const held = await agent.claimOne();
    await workspace.admin.tasks.cancel({ params: { id: cancelled.id }, body: {} });
    expect(await agent.ask(held)).toEqual({ status: 'cancelled' });
    expect(await workspace.read(cancelled)).toMatchObject({ status: 'cancelled', asked_comment_id: null });
    const last = await workspace.task();
    await app.sql`update tasks set attempts = ${taskLimits.attempts - 1} where id = ${last.id}`;
    expect(await agent.ask(await agent.claimOne())).toEqual({ status: 'failed' });
    expect(await workspace.read(last)).toMatchObject({ status: 'failed', asked_comment_id: null, waiting_for: null });
  });
});

describe('while it waits', () => {
  test('only a person answers, by a reply to the question or to nothing', async () => {
    const { workspace, agent, task, params, comment_id } = await asked();
    const own = await agent.client.comments.create({ params, body: { text: 'blue?', reply_to: comment_id } });
    await say(workspace, task, 'good point', own.id);
    expect((await workspace.read(task)).asked_comment_id).toBe(comment_id);
    expect(await agent.claim()).toEqual([]);
    const viewer = await workspace.admin.api_tokens.create({ body: { name: 'viewer', role: 'viewer' } });
    await expect(app.client(viewer.token ?? '').comments.create({ params, body: { text: 'x' } })).rejects.toMatchObject(
      { status: 403 },
    );
    await say(workspace, task, 'blue', comment_id);
    const { prompt } = await agent.claimOne();
    expect(prompt.match(/^> .*$/gm)).toEqual(['> Which colour?', '> blue']);
  });

  test('it may be parked, assigned, edited and put off, and waits on', async () => {
    const { workspace, agent, task, params } = await asked();
    const other = await workspace.agent({ online: true });
    const { patch, assign } = workspace.admin.tasks;
    await patch({ params, body: { status: 'backlog' } });
    expect((await workspace.read(task)).waiting_for?.code).toBe('backlog');
    await patch({ params, body: { status: 'inbox', title: 'Paint all', not_before: new Date(0).toISOString() } });
    await assign({ params, body: { assigned_to: other.name } });
    await patch({ params, body: { concurrency_key: 'paint' } });
    expect(await workspace.read(task)).toMatchObject({ status: 'assigned', waiting_for: { code: 'answer' } });
    expect([await agent.claim(), await other.claim()]).toEqual([[], []]);
    await say(workspace, task, 'blue');
    expect(await agent.claim()).toEqual([]);
    expect((await other.claimOne()).prompt).toMatch(/^Paint all[^]*> blue$/);
  });

  test('an answer leaves a parked task parked, and keeps a time that it must not start before', async () => {
    const parked = await asked();
    await parked.workspace.admin.tasks.patch({ params: parked.params, body: { status: 'backlog' } });
    await say(parked.workspace, parked.task, 'blue');
    expect(await parked.workspace.read(parked.task)).toMatchObject({ status: 'backlog', asked_comment_id: null });
    const later = await asked();
    const [row] = await app.sql<{ now: string }[]>`select flotilla_now() as now`;
    const not_before = new Date(Date.parse(row?.now ?? '') + 3_600_000).toISOString();
    await later.workspace.admin.tasks.patch({ params: later.params, body: { not_before } });
    await say(later.workspace, later.task, 'blue');
    expect(await later.workspace.read(later.task)).toMatchObject({
      deferred_until: not_before,
      waiting_for: { code: 'not_before' },
    });
  });

  test('an answer may give it to an agent', async () => {
    const { workspace, agent, task } = await asked();
    const other = await workspace.agent({ online: true });
    await say(workspace, task, `@${other.name} make it blue`);
    expect(await agent.claim()).toEqual([]);
    expect((await other.claimOne()).id).toBe(task.id);
  });

  test('cancel, delete and a missed start end it; a retry asks nobody', async () => {
    const { workspace, agent, task, params } = await asked();
    expect(await workspace.admin.tasks.cancel({ params, body: {} })).toMatchObject({
      status: 'cancelled',
      asked_comment_id: null,
    });
    await say(workspace, task, 'too late');
    expect((await workspace.read(task)).status).toBe('cancelled');
    await workspace.admin.tasks.retry({ params });
    expect((await agent.claimOne()).prompt).toBe('Paint it');

    const gone = await asked();
    await gone.workspace.admin.tasks.delete({ params: gone.params });
    await expect(say(gone.workspace, gone.task, 'blue')).rejects.toMatchObject({ status: 404 });

    const missed = await asked();
    await app.sql`update tasks set start_by = flotilla_now() where id = ${missed.task.id}`;
    await failLate(app.deps);
    expect(await missed.workspace.read(missed.task)).toMatchObject({ status: 'failed', asked_comment_id: null });
  });

  test('an edited question is asked as it is now; a deleted one is asked no more', async () => {
    const edited = await asked();
    const { admin } = edited.workspace;
    await admin.comments.edit({
      params: { id: edited.task.id, comment_id: edited.comment_id },
      body: { text: 'Which blue?' },
    });
    expect((await edited.workspace.read(edited.task)).question).toBe('Which blue?');
    await say(edited.workspace, edited.task, 'dark');
    expect((await edited.agent.claimOne()).prompt).toContain('> Which blue?');

    const { workspace, agent, task, comment_id } = await asked();
    const parked = agent.claim(1, { wait_s: 30 });
    await workspace.admin.comments.delete({ params: { id: task.id, comment_id } });
    expect((await parked)[0]).toMatchObject({ id: task.id, prompt: 'Paint it' });
    expect((await eventsOf(task)).map(({ type }) => type)).toContain('task.question_deleted');
  });
});

describe('at the same moment', () => {
  test('two answers start one attempt, that reads the first at least', async () => {
    for (let round = 0; round < 10; round++) {
      const { workspace, agent, task, params } = await asked();
      const parked = [1, 2].map((n) => agent.claim(1, { claim_id: `c${round}-${n}` }));
      await Promise.all(['blue', 'red', 'green'].map((text) => say(workspace, task, text)));
      await Promise.all(parked);
      await agent.claim(4);
      expect(await workspace.attempts(task)).toHaveLength(2);
      expect((await eventsOf(task)).filter(({ type }) => type === 'task.answered')).toHaveLength(1);
      const { comments } = await workspace.admin.comments.list({ params });
      expect(comments).toHaveLength(4);
    }
  });

  test('an answer and a cancel: the cancel holds, or comes first', async () => {
    for (let round = 0; round < 10; round++) {
      const { workspace, agent, task, params } = await asked();
      const both = [() => say(workspace, task, 'blue'), () => workspace.admin.tasks.cancel({ params, body: {} })];
      await Promise.all((round % 2 === 0 ? both : both.toReversed()).map((act) => act()));
      expect(await workspace.read(task)).toMatchObject({ status: 'cancelled', asked_comment_id: null });
      expect(await agent.claim()).toEqual([]);
    }
  });

  test('an answer and the end of the question: it waits no more, and nothing is stuck', async () => {
    for (let round = 0; round < 10; round++) {
      const { workspace, agent, task, comment_id } = await asked();
      await Promise.all([
        say(workspace, task, 'blue'),
        workspace.admin.comments.delete({ params: { id: task.id, comment_id } }),
      ]);
      expect((await agent.claimOne()).prompt).toBe('Paint it');
    }
  });

  test('the same question twice is one', async () => {
    for (let round = 0; round < 10; round++) {
      const workspace = await app.workspace();
      const agent = await workspace.agent();
      const task = await workspace.task();
      const held = await agent.claimOne();
      expect(await Promise.all([agent.ask(held), agent.ask(held)])).toEqual([{ status: 'inbox' }, { status: 'inbox' }]);
      expect((await workspace.admin.comments.list({ params: { id: task.id } })).comments).toHaveLength(1);
    }
  });

  test('a question and the end of its lease: one of them wins', async () => {
    const won = { question: 0, expiry: 0 };
    for (let round = 0; round < 12; round++) {
      const workspace = await app.workspace();
      const agent = await workspace.agent();
      const task = await workspace.task();
      const held = await agent.claimOne();
      await app.shiftClock(121_000);
      if (round % 3 === 0) await expireLeases(app.deps);
      // Taken before, it answers as before.
      if (round % 3 === 1) await agent.ask(held);
      const [answer] = await Promise.allSettled([agent.ask(held), expireLeases(app.deps)]);
      const after = await workspace.read(task);
      const { comments } = await workspace.admin.comments.list({ params: { id: task.id } });
      if (answer.status === 'fulfilled') {
        won.question += 1;
        expect(after).toMatchObject({ stale_requeues: 0, waiting_for: { code: 'answer' } });
      } else {
        won.expiry += 1;
        expect(answer.reason).toMatchObject({ status: 409, code: 'lease_lost' });
        expect(after).toMatchObject({ stale_requeues: 1, asked_comment_id: null });
      }
      expect(comments).toHaveLength(answer.status === 'fulfilled' ? 1 : 0);
    }
    expect(won.expiry).toBeGreaterThanOrEqual(4);
    expect(won.question).toBeGreaterThanOrEqual(4);
  });
});
