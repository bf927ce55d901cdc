import { describe, expect, test } from 'vitest';

import { testApp } from './lib/app.ts';

const app = await testApp();
const MINUTE = 60_000;

describe('GET /tasks/queue', () => {
  test('answers the documented curl lines under both prefixes', async () => {
    const { token, ...workspace } = await app.workspace();
    const [first, second] = await workspace.tasks(2);
    const path = '/api/tasks/queue?agent=scout&max_capacity=2';
    const headers = { 'x-api-key': token };
    const one = await app.request('GET', path, { headers });
    expect(one).toMatchObject({ status: 200, body: { reason: 'assigned', task: { id: first?.id, title: 'a task' } } });
    expect(one.headers.get('cache-control')).toBe('no-store');
    const two = await app.request('GET', `/api/v1/tasks/queue?agent=scout&max_capacity=2`, { headers });
    expect(two.body).toMatchObject({ reason: 'assigned', task: { id: second?.id } });
    const full = await app.request('GET', path, { headers });
    expect(full.body).toEqual({
      task: null,
      reason: 'at_capacity',
      holding: [first, second].map((task) => ({
        id: task?.id,
        epoch: expect.any(Number) as number,
        lease_expires_at: expect.any(String) as string,
      })),
    });
    expect((await workspace.admin.agents.list()).agents).toMatchObject([{ name: 'scout', kind: 'poll' }]);
  });

  test('says why there is nothing', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.pollAgent();
    const params = { id: agent.id };
    const poll = async (max_capacity?: number) => (await agent.client.tasks.queue({ query: { max_capacity } })).reason;
    expect(await poll()).toBe('no_tasks_available');
    await workspace.task();
    expect(await poll()).toBe('assigned');
    expect(await poll()).toBe('at_capacity');
    expect(await poll(2)).toBe('holding');
    await workspace.admin.agents.drain({ params, body: {} });
    expect(await poll(2)).toBe('draining');
    await workspace.admin.agents.resume({ params, body: {} });
    await workspace.admin.agents.patch({ params, body: { disabled: true } });
    expect(await poll(2)).toBe('disabled');
  });

  test('an agent polls for itself alone, a person must say for whom, a viewer may not', async () => {
    const workspace = await app.workspace();
    const [one, two] = [await workspace.pollAgent(), await workspace.pollAgent()];
    await expect(one.client.tasks.queue({ query: { agent: two.name } })).rejects.toMatchObject({ status: 404 });
    expect((await one.client.tasks.queue({ query: { agent: one.name } })).reason).toBe('no_tasks_available');
    await expect(workspace.admin.tasks.queue()).rejects.toMatchObject({ status: 400 });
    const { token = '' } = await workspace.admin.api_tokens.create({ body: { name: 'looks', role: 'viewer' } });
    await expect(app.client(token).tasks.queue({ query: { agent: one.name } })).rejects.toMatchObject({ status: 403 });
  });

  test('50 polls at once never overfill', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.pollAgent();
    await workspace.tasks(20);
    const polls = Array.from({ length: 50 }, (_, index) =>
      index % 2 === 0
        ? agent.client.tasks.queue({ query: { max_capacity: 3 } })
        : workspace.admin.tasks.queue({ query: { agent: agent.name, max_capacity: 3 } }),
    );
    const reasons = (await Promise.all(polls)).map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason === 'assigned')).toHaveLength(3);
    expect(reasons.filter((reason) => reason === 'at_capacity')).toHaveLength(47);
    expect((await workspace.agentRow(agent)).slots_used).toBe(3);
  });

  test('what the daemon runs and what is polled for it share its slots', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 3, online: true });
    await workspace.tasks(6);
    const poll = () => workspace.admin.tasks.queue({ query: { agent: agent.name, max_capacity: 10 } });
    const mixed = await Promise.all([poll(), poll(), agent.claim(2), poll(), poll(), agent.claim(2)]);
    const given = mixed.reduce((sum, answer) => sum + (Array.isArray(answer) ? answer.length : answer.task ? 1 : 0), 0);
    expect(given).toBe(3);
    expect((await poll()).reason).toBe('at_capacity');
    expect(await agent.claim(5)).toEqual([]);
  });

  test('takes turns: who polls often does not empty the queue before another’s first poll', async () => {
    const workspace = await app.workspace();
    const [eager, modest] = [await workspace.pollAgent(), await workspace.pollAgent()];
    // Both tokens are known from here on: the polls below then meet in the same moment.
    await Promise.all([eager.client.tasks.queue(), modest.client.tasks.queue()]);
    await workspace.tasks(4);
    const query = { max_capacity: 20 };
    const [, asked] = await Promise.all([
      Promise.all(Array.from({ length: 20 }, () => eager.client.tasks.queue({ query }))),
      modest.client.tasks.queue({ query }),
    ]);
    expect(asked.reason).toBe('assigned');
  });
});

describe('the lease of a polled task', () => {
  const polled = async () => {
    const workspace = await app.workspace();
    const agent = await workspace.pollAgent();
    const task = await workspace.task({ timeout_s: 3 * 3600 });
    const answer = await agent.client.tasks.queue();
    if (answer.task === null) throw new Error('got nothing');
    return { workspace, agent, task, claimed: answer.task };
  };

  test('lasts 10 minutes, then the task is queued again', async () => {
    const { workspace, agent, task } = await polled();
    await app.shiftClock(10 * MINUTE + 29_000);
    await app.expire();
    expect((await workspace.read(task)).status).toBe('in_progress');
    // Polling names no task: it keeps nothing alive.
    expect((await agent.client.tasks.queue()).reason).toBe('at_capacity');
    await app.shiftClock(2_000);
    await app.expire();
    expect(await workspace.read(task)).toMatchObject({ status: 'inbox', stale_requeues: 1 });
  });

  test('is renewed by start, log, usage and progress', async () => {
    const { workspace, agent, task, claimed } = await polled();
    const { epoch } = claimed;
    const params = { id: task.id };
    const usage = { seq: 1, mode: 'delta', input_tokens: 1, output_tokens: 1 } as const;
    const calls = [
      () => agent.start(claimed),
      () => agent.log(claimed, 0, 'one\n'),
      () => agent.client.tasks.usage({ params, body: { epoch, ...usage } }),
      () => agent.client.tasks.progress({ params, body: { epoch, percent: 40, message: 'reading' } }),
      () => agent.start(claimed),
    ];
    for (const call of calls) {
      await app.shiftClock(9 * MINUTE);
      await call();
      await app.expire();
      expect((await workspace.read(task)).status).toBe('in_progress');
    }
    expect((await workspace.attempts(task))[0]?.progress).toMatchObject({ percent: 40, message: 'reading' });
    await agent.complete(claimed);
    expect((await workspace.read(task)).status).toBe('done');
  });

  test('its attempt token does the work of this one task, and dies with it', async () => {
    const { workspace, task, claimed } = await polled();
    const other = await polled();
    const worker = app.client(claimed.attempt_token);
    const { epoch } = claimed;
    const params = { id: task.id };
    await worker.tasks.start({ params, body: { epoch } });
    await workspace.admin.tasks.cancel({ params, body: {} });
    expect(await worker.tasks.progress({ params, body: { epoch } })).toMatchObject({ cancel_requested: true });
    await expect(
      worker.tasks.progress({ params: { id: other.task.id }, body: { epoch: other.claimed.epoch } }),
    ).rejects.toMatchObject({ status: 404 });
    await expect(worker.tasks.claim({ body: { slots: 1 } })).rejects.toMatchObject({ status: 403 });
    expect(await worker.tasks.complete({ params, body: { epoch, resolution: 'by hand' } })).toEqual({ status: 'done' });
    await expect(worker.tasks.get({ params })).rejects.toMatchObject({ status: 401 });
  });

  test('the token of a daemon’s attempt reports usage and progress of its own task, not its end', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 2, online: true });
    const [mine, other] = await workspace.tasks(2);
    const [claimed, neighbour] = await agent.claim(2);
    if (claimed === undefined || neighbour === undefined || mine === undefined || other === undefined)
      throw new Error('claimed too little');
    const child = app.client(claimed.attempt_token);
    const params = { id: claimed.id };
    const { epoch } = claimed;
    const usage = { epoch, seq: 1, mode: 'delta', input_tokens: 5, output_tokens: 2 } as const;
    await child.tasks.usage({ params, body: usage });
    const { lease_expires_at } = await child.tasks.progress({ params, body: { epoch, percent: 10 } });
    const read = await workspace.read(claimed);
    expect(read).toMatchObject({ input_tokens: 5, lease_expires_at });
    await expect(
      child.tasks.progress({ params: { id: neighbour.id }, body: { epoch: neighbour.epoch } }),
    ).rejects.toMatchObject({ status: 404 });
    for (const call of [
      () => child.tasks.complete({ params, body: { epoch, resolution: 'no' } }),
      () => child.tasks.fail({ params, body: { epoch, retryable: false, kind: 'x', message: 'no' } }),
      () => child.tasks.start({ params, body: { epoch } }),
    ])
      await expect(call()).rejects.toMatchObject({ status: 403 });
    // Its host renews that lease by beats; the child's calls do not.
    await app.shiftClock(5_000);
    expect(await child.tasks.progress({ params, body: { epoch } })).toMatchObject({ lease_expires_at });
  });
});
