// Longer than most: every edge of the machine that people take.
import {
  can,
  isTerminal,
  taskLimits,
  taskMachine,
  type TaskStatus,
  taskStatuses,
  type TaskVerb,
} from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { dueLoop } from '../src/tasks/expire/due.ts';
import { testApp } from './lib/app.ts';
import { taskIn } from './lib/board.ts';
import { freshName } from './lib/fleet.ts';
import { during, until } from './lib/until.ts';

const app = await testApp({ FLOTILLA_SWEEP_MS: '5' });
const hours = (count: number) => new Date(Date.now() + count * 3_600_000).toISOString();

describe('create', () => {
  test('answers what is stored, every field of it', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ tags: ['gpu'] });
    const all = {
      title: 'Everything',
      description: 'Ünïcode and\nlines',
      priority: 'high' as const,
      due_date: '2031-02-03T04:05:06.789+02:00',
      tags: ['b', 'a'],
      required_tags: ['gpu', 'gpu'],
      executor: 'claude',
      model: 'strong',
      timeout_s: 7,
      start_by: '2032-01-01T00:00:00Z',
      concurrency_key: 'one',
      concurrency_limit: 2,
      on_host_loss: 'hold' as const,
      review: 'human' as const,
      metadata: { deep: { er: [1, null, 'x'] } },
    };
    const cases = [{}, all, { not_before: hours(1) }, { not_before: hours(-1) }, { status: 'backlog' as const }];
    for (const fields of [...cases, { assigned_to: agent.name }, { ...all, assigned_to: freshName('nobody') }])
      for (let twice = 0; twice < 2; twice++) {
        const created = await workspace.task(fields);
        expect(created).toEqual(await workspace.read(created));
      }
  });

  test('gives defaults, a ref and where it is', async () => {
    const workspace = await app.workspace();
    const answer = await app.request('POST', '/api/v1/tasks', {
      token: workspace.token,
      body: { title: 'Sort the mail' },
    });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({
      ref: `TASK-${String(answer.body.id)}`,
      title: 'Sort the mail',
      description: '',
      status: 'inbox',
      priority: 'medium',
      timeout_s: 3600,
      on_host_loss: 'requeue',
      review: 'auto',
      attempts: 0,
      epoch: null,
      cost_usd_micros: null,
      created_by: 'token:admin',
      version: 1,
    });
    expect(answer.headers.get('etag')).toBe('"1"');
  });

  test('keeps every field as given', async () => {
    const workspace = await app.workspace();
    const given = {
      description: 'Ünïcode 🚀 <b>"\'; drop table tasks; --',
      priority: 'critical',
      due_date: '2031-05-01T10:00:00.000Z',
      tags: ['mail'],
      required_tags: ['gpu', 'eu'],
      executor: 'claude',
      model: 'opus',
      timeout_s: 60,
      on_host_loss: 'hold',
      review: 'human',
      metadata: { nested: [1, { a: null }] },
    } as const;
    const task = await workspace.task(structuredClone(given) as never); // readonly literals; the shape is the contract's
    expect(task).toMatchObject({ ...given, required_tags: ['eu', 'gpu'] });
    expect(await workspace.read(task)).toEqual(task);
  });

  test.each([
    ['title', { title: ' ' }],
    ['title', { title: 'a\u0000b' }],
    ['priority', { title: 't', priority: 'urgent' }],
    ['status', { title: 't', status: 'done' }],
    ['timeout_s', { title: 't', timeout_s: 0 }],
    ['due_date', { title: 't', due_date: 'tomorrow' }],
    ['assigned_to', { title: 't', assigned_to: 'No Such Name!' }],
    ['colour', { title: 't', colour: 'red' }],
  ])('refuses a bad %s and names it', async (field, body) => {
    const { body: error, status } = await app.request('POST', '/api/v1/tasks', { token: app.admin_token, body });
    expect({ status, code: error.code }).toEqual({ status: 400, code: 'invalid_input' });
    expect(error.error).toContain(field);
  });

  test('assigned to a name that is not here yet binds when it registers', async () => {
    const workspace = await app.workspace();
    const name = freshName('later');
    const task = await workspace.task({ assigned_to: name });
    expect(task).toMatchObject({ status: 'assigned', assigned_to: name, assigned_agent_id: null });
    const other = await workspace.agent();
    expect(await other.claim()).toEqual([]);
    const agent = await workspace.agent({ name });
    expect((await agent.claimOne()).id).toBe(task.id);
  });

  test('racing with the registration of that name still binds', async () => {
    const workspace = await app.workspace();
    for (let round = 0; round < 40; round++) {
      const name = freshName('racer');
      const [task, agent] = await Promise.all([workspace.task({ assigned_to: name }), workspace.agent({ name })]);
      expect((await workspace.read(task)).assigned_agent_id).toBe(agent.id);
    }
  });

  test('racing with the deletion of its agent leaves it to the name', async () => {
    const workspace = await app.workspace();
    for (let round = 0; round < 40; round++) {
      const agent = await workspace.agent();
      const [task] = await Promise.all([
        workspace.task({ assigned_to: agent.name }),
        workspace.admin.agents.delete({ params: { id: agent.id } }),
      ]);
      expect((await workspace.read(task)).assigned_agent_id).toBeNull();
    }
  });
});

describe('list', () => {
  test('pages through 120 tasks, newest first, without gaps or repeats', async () => {
    const workspace = await app.workspace();
    const made = await Promise.all(Array.from({ length: 120 }, () => workspace.task()));
    const seen: number[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await workspace.admin.tasks.list({ query: { limit: 50, cursor } });
      seen.push(...page.tasks.map(({ id }) => id));
      cursor = page.next_cursor ?? undefined;
      pages += 1;
      // What is created meanwhile is newer than the cursor: it shifts nothing.
      await workspace.task();
    } while (cursor !== undefined);
    expect(pages).toBe(3);
    expect(seen).toEqual(made.map(({ id }) => id).toSorted((a, b) => b - a));
  });

  test('filters by status, priority, names and tag, and refuses filters it does not know', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const parked = await workspace.task({ status: 'backlog', tags: ['mail'] });
    const urgent = await workspace.task({ priority: 'critical' });
    const assigned = await workspace.task({ assigned_to: agent.name, priority: 'high' });
    const unknown = await workspace.task({ assigned_to: 'ghost' });
    const claimed = await agent.claimOne();
    expect(claimed.id).toBe(urgent.id);
    const ids = async (query: Record<string, string>) =>
      (await workspace.admin.tasks.list({ query })).tasks.map(({ id }) => id);
    expect(await ids({ status: 'backlog' })).toEqual([parked.id]);
    expect(await ids({ status: 'backlog,in_progress' })).toEqual([urgent.id, parked.id]);
    expect(await ids({ priority: 'high,critical' })).toEqual([assigned.id, urgent.id]);
    expect(await ids({ assigned_to: agent.name })).toEqual([assigned.id]);
    expect(await ids({ assigned_to: 'ghost' })).toEqual([unknown.id]);
    expect(await ids({ claimed_by: agent.name })).toEqual([urgent.id]);
    expect(await ids({ tag: 'mail' })).toEqual([parked.id]);
    const get = (search: string) => app.request('GET', `/api/v1/tasks?${search}`, { token: workspace.token });
    for (const search of ['statuss=inbox', 'status=open', 'limit=0', 'limit=501', 'cursor=nonsense']) {
      expect(await get(search), search).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    }
    // An agent sees what is assigned to it or what it ran.
    expect((await agent.client.tasks.list()).tasks.map(({ id }) => id)).toEqual([assigned.id, urgent.id]);
    await expect(agent.client.tasks.get({ params: { id: parked.id } })).rejects.toMatchObject({ status: 404 });
  });

  test('of another workspace does not exist, whatever is done with it', async () => {
    const [mine, other] = [await app.workspace(), await app.workspace()];
    const task = await mine.task();
    const params = { id: task.id };
    const { tasks } = other.admin;
    const tries = [
      () => tasks.get({ params }),
      () => tasks.patch({ params, body: { title: 'x' } }),
      () => tasks.delete({ params }),
      () => tasks.assign({ params, body: { assigned_to: 'x' } }),
      () => tasks.cancel({ params, body: {} }),
      () => tasks.retry({ params }),
      () => tasks.release({ params }),
      () => tasks.attempts({ params }),
      () => tasks.readLog({ params }),
    ];
    for (const attempt of tries) await expect(attempt()).rejects.toMatchObject({ status: 404, code: 'not_found' });
    expect(await mine.read(task)).toEqual(task);
  });
});

describe('edges of people', () => {
  type Do = (workspace: Awaited<ReturnType<typeof app.workspace>>, id: number, agent: string) => Promise<unknown>;
  const verbs: Partial<Record<TaskVerb, Do>> = {
    assign: ({ admin }, id, agent) => admin.tasks.assign({ params: { id }, body: { assigned_to: agent } }),
    unassign: ({ admin }, id) => admin.tasks.unassign({ params: { id } }),
    cancel: ({ admin }, id) => admin.tasks.cancel({ params: { id }, body: {} }),
    retry: ({ admin }, id) => admin.tasks.retry({ params: { id } }),
    delete: ({ admin }, id) => admin.tasks.delete({ params: { id } }),
    // Prompt fields may change while it runs; what decides who runs it may not.
    edit: ({ admin }, id) => admin.tasks.patch({ params: { id }, body: { required_tags: ['other'] } }),
  };

  test.each(taskStatuses)('from %s: a verb acts exactly where the machine says so', async (from) => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    for (const [verb, act] of Object.entries(verbs) as [TaskVerb, Do][]) {
      const task = await taskIn(workspace, agent, from);
      const result = await act(workspace, task.id, agent.name).then(
        () => null,
        (error: unknown) => error,
      );
      if (can(taskMachine, verb, from)) {
        expect(result, `${verb} from ${from}`).toBeNull();
        const { to } = taskMachine.edges[verb];
        if (to.length > 0) expect(to, `${verb} from ${from}`).toContain((await workspace.read(task)).status);
      } else {
        expect(result, `${verb} from ${from}`).toMatchObject({
          status: 409,
          code: from === 'in_progress' ? 'task_running' : 'invalid_transition',
        });
        expect(await workspace.read(task)).toEqual(task);
      }
    }
  });

  const wantable = ['backlog', 'inbox', 'assigned', 'done', 'cancelled'] as const;
  const patchVerbs: TaskVerb[] = ['park', 'unpark', 'assign', 'unassign', 'cancel', 'approve', 'reject'];

  test.each(taskStatuses)(
    'from %s: a status in a patch takes the edge that leads there, or is refused',
    async (from) => {
      const workspace = await app.workspace();
      const agent = await workspace.agent();
      for (const wanted of wantable) {
        const task = await taskIn(workspace, agent, from);
        const needs_name = wanted === 'assigned' && task.assigned_to === null;
        const body = { status: wanted, ...(needs_name && from !== 'in_progress' ? { assigned_to: agent.name } : {}) };
        const result: unknown = await workspace.admin.tasks
          .patch({ params: { id: task.id }, body })
          .catch((error: unknown) => error);
        const leads = patchVerbs.some(
          (verb) =>
            can(taskMachine, verb, from) && (taskMachine.edges[verb].to as readonly TaskStatus[]).includes(wanted),
        );
        const what = `${from} → ${wanted}`;
        if (leads || wanted === from) {
          // A running task is asked to stop; it stays in progress until the agent answers.
          expect(result, what).toMatchObject({
            status: from === 'in_progress' && wanted === 'cancelled' ? 'in_progress' : wanted,
          });
        } else {
          expect(result, what).toMatchObject({
            status: 409,
            code: from === 'in_progress' ? 'task_running' : 'invalid_transition',
          });
          expect(await workspace.read(task)).toEqual(task);
        }
      }
    },
  );

  test('assigning without a name is refused', async () => {
    const workspace = await app.workspace();
    const task = await workspace.task();
    await expect(
      workspace.admin.tasks.patch({ params: { id: task.id }, body: { status: 'assigned' } }),
    ).rejects.toMatchObject({ status: 400 });
    const parked = await workspace.task({ status: 'backlog', assigned_to: 'ghost' });
    expect((await workspace.admin.tasks.patch({ params: { id: parked.id }, body: { status: 'inbox' } })).status).toBe(
      'assigned',
    );
  });

  test('an agent may do none of it', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ assigned_to: agent.name });
    const asAgent = { ...workspace, admin: agent.client };
    for (const act of Object.values(verbs)) {
      await expect(act(asAgent, task.id, agent.name)).rejects.toMatchObject({ status: 403, code: 'forbidden' });
    }
    await expect(agent.client.tasks.release({ params: { id: task.id } })).rejects.toMatchObject({ status: 403 });
    await expect(agent.client.tasks.patch({ params: { id: task.id }, body: { title: 'mine' } })).rejects.toMatchObject({
      status: 403,
    });
    await expect(agent.client.tasks.create({ body: { title: 'mine' } })).rejects.toMatchObject({ status: 403 });
  });
});

describe('patch', () => {
  test('takes fields bare or wrapped, by PATCH or PUT, and refuses what it does not know', async () => {
    const workspace = await app.workspace();
    const task = await workspace.task();
    const patch = (method: string, body: unknown) =>
      app.request(method, `/api/v1/tasks/${task.id}`, { token: workspace.token, body });
    expect((await patch('PATCH', { title: 'one' })).body).toMatchObject({ title: 'one', version: 2 });
    expect((await patch('PUT', { task: { priority: 'low', due_date: hours(1) } })).body).toMatchObject({
      title: 'one',
      priority: 'low',
      version: 3,
    });
    expect((await patch('PATCH', { task: { due_date: null } })).body).toMatchObject({ due_date: null });
    expect(await patch('PATCH', { task: { colour: 'red' } })).toMatchObject({ status: 400 });
    expect(await patch('PATCH', { task: { title: 'x' }, title: 'y' })).toMatchObject({ status: 400 });
    // Nothing asked, nothing changed.
    const before = (await workspace.read(task)).version;
    expect((await patch('PATCH', {})).body.version).toBe(before);
  });

  test('of an older version is 412 with the current row', async () => {
    const workspace = await app.workspace();
    const task = await workspace.task();
    const params = { id: task.id };
    const patch = (title: string, version: number) =>
      workspace.admin.tasks.patch({ params, body: { title } }, { headers: { 'if-match': `"${version}"` } });
    expect(await patch('first', 1)).toMatchObject({ title: 'first', version: 2 });
    await expect(patch('second', 1)).rejects.toMatchObject({
      status: 412,
      code: 'version_mismatch',
      details: { current: { title: 'first', version: 2 } },
    });
    expect((await workspace.read(task)).title).toBe('first');
    // Of ten people with the same version one writes.
    const results = await Promise.allSettled(Array.from({ length: 10 }, (_, index) => patch(`by ${index}`, 2)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('of a running task changes what people see, not who runs it or its prompt', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ description: 'old words' });
    const claimed = await agent.claim(1, { claim_id: 'c1' });
    expect(claimed[0]?.prompt).toBe('a task\n\nold words');
    const params = { id: task.id };
    for (const body of [
      { assigned_to: agent.name },
      { required_tags: ['x'] },
      { executor: 'claude' },
      { timeout_s: 5 },
      { not_before: hours(1) },
    ]) {
      await expect(workspace.admin.tasks.patch({ params, body })).rejects.toMatchObject({
        status: 409,
        code: 'task_running',
      });
    }
    const edited = await workspace.admin.tasks.patch({
      params,
      body: { title: 'new', description: 'new words', priority: 'high', tags: ['t'] },
    });
    expect(edited).toMatchObject({ title: 'new', status: 'in_progress', epoch: claimed[0]?.epoch });
    expect((await agent.claim(1, { claim_id: 'c1' }))[0]?.prompt).toBe('a task\n\nold words');
  });
});

describe('cancel', () => {
  test('of an unclaimed task is immediate and final', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    const cancelled = await workspace.admin.tasks.cancel({ params: { id: task.id }, body: { reason: 'not needed' } });
    expect(cancelled).toMatchObject({ status: 'cancelled', completed_at: expect.any(String) as string });
    expect(await agent.claim()).toEqual([]);
    await expect(workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} })).rejects.toMatchObject({
      code: 'invalid_transition',
    });
  });

  test('of a claimed one asks the agent, keeps the slot, and is idempotent', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 2 });
    const task = await workspace.task();
    const claimed = await agent.claimOne();
    const parked = agent.claim(1, { wait_s: 50 });
    await expect.poll(() => app.deps.desk.parked()).toBe(1);
    const params = { id: task.id };
    const first = await workspace.admin.tasks.cancel({ params, body: {} });
    expect(first).toMatchObject({ status: 'in_progress', cancel_requested_at: expect.any(String) as string });
    expect(first.status_sentence).toMatch(/^Cancelling/);
    // The parked poll ends, so that the agent beats and learns it.
    expect(await parked).toEqual([]);
    expect(await workspace.admin.tasks.cancel({ params, body: {} })).toEqual(first);
    expect((await workspace.agentRow(agent)).slots_used).toBe(1);
    expect((await agent.beat([claimed])).attempts).toMatchObject([{ verdict: 'cancel' }]);
    expect(await agent.fail(claimed, { retryable: false, kind: 'cancelled', message: 'stopped' })).toEqual({
      status: 'cancelled',
    });
    expect(await workspace.attempts(task)).toMatchObject([{ state: 'cancelled' }]);
    expect((await workspace.agentRow(agent)).slots_used).toBe(0);
  });

  test('loses against a result that comes first', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    const claimed = await agent.claimOne();
    await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
    expect(await agent.complete(claimed)).toEqual({ status: 'done' });
    expect(await workspace.read(task)).toMatchObject({
      status: 'done',
      resolution: 'done',
      cancel_requested_at: expect.any(String) as string,
    });
  });

  test.each(['failed', 'handed back', 'released by an operator'])('never requeues a task that is %s', async (how) => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    const claimed = await agent.claimOne();
    await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
    if (how === 'failed') await agent.fail(claimed, { retryable: true });
    else if (how === 'handed back') await agent.unclaim(claimed);
    else await workspace.admin.tasks.release({ params: { id: task.id } });
    expect((await workspace.read(task)).status).toBe('cancelled');
    expect(await agent.claim()).toEqual([]);
  });

  test('of a task sent back from review is over: the next attempt is not asked to stop', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ review: 'human' });
    const claimed = await agent.claimOne();
    await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
    expect(await agent.complete(claimed)).toEqual({ status: 'review' });
    await workspace.admin.tasks.patch({ params: { id: task.id }, body: { status: 'inbox' } });
    const again = await agent.claimOne();
    expect((await agent.beat([again])).attempts).toMatchObject([{ verdict: 'renewed' }]);
  });
});

describe('retry, release and delete', () => {
  test('retry starts anew: counters, result and failure are gone, the history stays', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    await agent.fail(await agent.claimOne(), { retryable: true });
    await app.sql`update tasks set deferred_until = null where id = ${task.id}`;
    await agent.fail(await agent.claimOne(), { retryable: false });
    expect(await workspace.read(task)).toMatchObject({
      status: 'failed',
      attempts: 2,
      dispatch_attempts: 1,
      failure: { kind: 'exit_code' },
    });
    expect(await workspace.admin.tasks.retry({ params: { id: task.id } })).toMatchObject({
      status: 'inbox',
      attempts: 0,
      dispatch_attempts: 0,
      stale_requeues: 0,
      rejections: 0,
      failure: null,
      resolution: null,
      completed_at: null,
      cancel_requested_at: null,
    });
    await agent.complete(await agent.claimOne());
    expect((await workspace.attempts(task)).map(({ number, state }) => [number, state])).toEqual([
      [3, 'completed'],
      [2, 'failed'],
      [1, 'failed'],
    ]);
  });

  test('retry of a cancelled task still waits for its time', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ not_before: hours(1) });
    await workspace.admin.tasks.cancel({ params: { id: task.id }, body: {} });
    expect((await workspace.admin.tasks.retry({ params: { id: task.id } })).waiting_for?.code).toBe('not_before');
    expect(await agent.claim()).toEqual([]);
  });

  test('release takes a running task from its agent and fences it', async () => {
    const workspace = await app.workspace();
    const [one, two] = [await workspace.agent(), await workspace.agent()];
    const task = await workspace.task();
    const claimed = await one.claimOne();
    expect(await workspace.admin.tasks.release({ params: { id: task.id } })).toMatchObject({
      status: 'inbox',
      claimed_by: null,
      stale_requeues: 0,
      dispatch_attempts: 0,
    });
    await expect(workspace.admin.tasks.release({ params: { id: task.id } })).rejects.toMatchObject({
      code: 'invalid_transition',
    });
    expect((await one.beat([claimed])).attempts).toMatchObject([{ verdict: 'lost' }]);
    const again = await two.claimOne();
    expect(again.epoch).toBeGreaterThan(claimed.epoch);
    await expect(one.complete(claimed)).rejects.toMatchObject({ status: 409, code: 'lease_lost' });
    expect(await two.complete(again)).toEqual({ status: 'done' });
  });

  test('release wakes another agent that waits', async () => {
    const workspace = await app.workspace();
    const [one, two] = [await workspace.agent(), await workspace.agent()];
    const task = await workspace.task();
    await one.claimOne();
    const parked = two.claim(1, { wait_s: 50 });
    await expect.poll(() => app.deps.desk.parked()).toBe(1);
    await workspace.admin.tasks.release({ params: { id: task.id } });
    expect((await parked).map(({ id }) => id)).toEqual([task.id]);
  });

  test('delete hides a task; a late report is told that it is gone', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    const claimed = await agent.claimOne();
    const params = { id: task.id };
    await expect(workspace.admin.tasks.delete({ params })).rejects.toMatchObject({ status: 409, code: 'task_running' });
    await workspace.admin.tasks.release({ params });
    expect(await workspace.admin.tasks.delete({ params })).toBeNull();
    await expect(workspace.read(task)).rejects.toMatchObject({ status: 404 });
    expect((await workspace.admin.tasks.list()).tasks).toEqual([]);
    await expect(workspace.admin.tasks.delete({ params })).rejects.toMatchObject({ status: 404 });
    const gone = { status: 410, code: 'task_gone' };
    await expect(agent.complete(claimed)).rejects.toMatchObject(gone);
    await expect(agent.fail(claimed)).rejects.toMatchObject(gone);
    await expect(agent.start(claimed)).rejects.toMatchObject(gone);
    await expect(agent.log(claimed, 0, 'x')).rejects.toMatchObject(gone);
    expect(await agent.claim()).toEqual([]);
  });
});

describe('review by a person', () => {
  test('delivers to review; approval ends it', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await taskIn(workspace, agent, 'review');
    expect(task).toMatchObject({ resolution: 'done', completed_at: null, claimed_by: null });
    const done = await workspace.admin.tasks.patch({ params: { id: task.id }, body: { status: 'done' } });
    expect(done).toMatchObject({ status: 'done', completed_at: expect.any(String) as string, rejections: 0 });
    expect(isTerminal(taskMachine, done.status)).toBe(true);
  });

  test('rejection sends it back; the third fails it', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ review: 'human' });
    const params = { id: task.id };
    for (let rejections = 1; rejections < taskLimits.rejections; rejections++) {
      await agent.complete(await agent.claimOne());
      expect(await workspace.admin.tasks.patch({ params, body: { status: 'inbox' } })).toMatchObject({
        status: 'inbox',
        rejections,
      });
    }
    await agent.complete(await agent.claimOne());
    expect(await workspace.admin.tasks.patch({ params, body: { status: 'inbox' } })).toMatchObject({
      status: 'failed',
      rejections: 3,
      completed_at: expect.any(String) as string,
    });
  });
});

describe('not before', () => {
  test('keeps a task out of the queue until its time; then it wakes who waits', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ not_before: new Date(Date.now() + 600_000).toISOString() });
    expect(await agent.claim()).toEqual([]);
    await during(
      (signal) => dueLoop(app.deps, signal),
      async () => {
        const parked = agent.claim(1, { wait_s: 50 });
        await expect.poll(() => app.deps.desk.parked()).toBe(1);
        await app.shiftClock(601_000);
        expect((await parked).map(({ id }) => id)).toEqual([task.id]);
      },
    );
    expect(await workspace.read(task)).toMatchObject({ status: 'in_progress', deferred_until: null });
  });

  test('follows a patch, and a time that is over means now', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ not_before: hours(2) });
    await workspace.admin.tasks.patch({ params: { id: task.id }, body: { not_before: null } });
    expect((await agent.claimOne()).id).toBe(task.id);
    const past = await workspace.task({ not_before: hours(-2) });
    expect(past.deferred_until).toBeNull();
  });

  test('a deferral after a failure is released by the same pass', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    await agent.fail(await agent.claimOne(), { retry_after_s: 100 });
    expect(await agent.claim()).toEqual([]);
    await app.shiftClock(800_000);
    await during(
      (signal) => dueLoop(app.deps, signal),
      () => until('the deferral ends', async () => (await workspace.read(task)).deferred_until === null),
    );
    expect((await agent.claimOne()).id).toBe(task.id);
  });
});
