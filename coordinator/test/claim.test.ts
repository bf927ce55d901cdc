// Longer than most: order, contention, replay and waiting share one desk.
import { createClient, type CreateTask, priorities, sleep } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { startHttp } from '../src/http/server.ts';
import { testApp } from './lib/app.ts';
import type { TestAgent } from './lib/fleet.ts';

// Rescans far away: whoever is woken in time was woken by a hint.
const app = await testApp({ FLOTILLA_RESCAN_MS: '600000' });
const never = new AbortController().signal;
const parked = (count: number) => expect.poll(() => app.deps.desk.parked(), { interval: 2 }).toBe(count);
const looks = async () => (await app.deps.metrics.claim_batches.get()).values[0]?.value ?? 0;
// One second is the promise; the slack is for a busy machine. Without a hint it would be 600.
const soon = async <T>(what: string, work: Promise<T>, limit_ms = 3_000): Promise<T> => {
  const started = performance.now();
  const value = await work;
  expect(performance.now() - started, what).toBeLessThan(limit_ms);
  return value;
};

describe('order and matching', () => {
  test('is priority, due date (none last), age, over all queue classes', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ tags: ['a', 'b'], executors: ['claude'], slots: 1 });
    const made: { id: number; rank: number; due: string }[] = [];
    for (let index = 0; index < 24; index++) {
      const priority = priorities[(index * 7) % 4] ?? 'low';
      const due_date = index % 3 === 0 ? null : `203${(index * 5) % 4}-01-01T00:00:00.000Z`;
      const demands: Partial<CreateTask>[] = [
        {},
        { required_tags: ['a'] },
        { executor: 'claude' },
        { assigned_to: agent.name },
        { required_tags: ['b', 'a'] },
      ];
      const { id } = await workspace.task({ priority, due_date, ...demands[index % demands.length] });
      made.push({ id, rank: priorities.indexOf(priority), due: due_date ?? '~' });
    }
    const expected = [...made]
      .toSorted((x, y) => x.rank - y.rank || (x.due < y.due ? -1 : x.due > y.due ? 1 : 0) || x.id - y.id)
      .map(({ id }) => id);
    const got: number[] = [];
    for (let index = 0; index < made.length; index++) {
      const task = await agent.claimOne();
      got.push(task.id);
      await agent.complete(task);
    }
    expect(got).toEqual(expected);
  });

  test('holds within one claim of many, also where one class has what is most urgent', async () => {
    const workspace = await app.workspace();
    const tags = Array.from({ length: 10 }, (_, n) => `tag-${n}`);
    const agent = await workspace.agent({ tags, slots: 30 });
    // Of every class some, by turns and of any priority; then many of one that come before all of them.
    for (let n = 0; n < 40; n++)
      await workspace.task({ required_tags: [`tag-${n % 10}`], priority: priorities[1 + (n % 3)] ?? 'low' });
    await workspace.tasks(20, { required_tags: ['tag-7'], priority: 'critical' });
    const { tasks } = await workspace.admin.tasks.list({ query: { limit: 100 } });
    const expected = tasks
      .toSorted((x, y) => priorities.indexOf(x.priority) - priorities.indexOf(y.priority) || x.id - y.id)
      .map(({ id }) => id);
    const first = await agent.claim(25);
    expect(first.map(({ id }) => id)).toEqual(expected.slice(0, 25));
    for (const task of first) await agent.complete(task);
    expect((await agent.claim(30)).map(({ id }) => id)).toEqual(expected.slice(25, 55));
  });

  test('gives a task only to an agent with its tags, its executor and its name', async () => {
    const workspace = await app.workspace();
    const plain = await workspace.agent({ executors: ['codex'], slots: 9 });
    const fit = await workspace.agent({ tags: ['gpu', 'eu'], executors: ['claude'], slots: 9 });
    const unknown = await workspace.pollAgent();
    const tagged = await workspace.task({ required_tags: ['gpu'] });
    const claude = await workspace.task({ executor: 'claude' });
    const named = await workspace.task({ assigned_to: fit.name });
    const parked_away = await workspace.task({ status: 'backlog' });
    expect(await plain.claim(9)).toEqual([]);
    expect((await fit.claim(9)).map(({ id }) => id)).toEqual([tagged.id, claude.id, named.id]);
    expect((await workspace.read(parked_away)).status).toBe('backlog');
    // Executors are a capability that narrows: an agent that reports none may try anything.
    const another = await workspace.task({ executor: 'claude' });
    expect((await unknown.claimOne()).id).toBe(another.id);
  });

  test('what a host says about itself is never matched', async () => {
    const workspace = await app.workspace();
    const { token } = await workspace.admin.join_tokens.create({ body: {} });
    const { agent_token } = await app.client(null).agents.register({
      body: { join_token: token ?? '', agent: { name: 'boaster', tags: ['gpu'] } },
    });
    await workspace.task({ required_tags: ['gpu'] });
    expect((await app.client(agent_token ?? '').tasks.claim({ body: { slots: 1 } })).tasks).toEqual([]);
  });

  test('a claim sets epoch, lease, attempt and slot', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 2 });
    const task = await workspace.task({ description: 'words', metadata: { k: 1 }, timeout_s: 77 });
    const before = Date.now();
    const claimed = await agent.claimOne();
    expect(claimed).toMatchObject({
      id: task.id,
      ref: task.ref,
      prompt: 'a task\n\nwords',
      attempt: 1,
      timeout_s: 77,
      metadata: { k: 1 },
    });
    expect(claimed.lease_ms).toBeGreaterThan(80_000);
    expect(claimed.lease_ms).toBeLessThanOrEqual(90_000);
    const row = await workspace.read(task);
    expect(row).toMatchObject({
      status: 'in_progress',
      claimed_by: agent.name,
      epoch: claimed.epoch,
      attempts: 1,
      assigned_to: null,
      waiting_for: null,
    });
    expect(Date.parse(row.lease_expires_at ?? '')).toBeGreaterThan(before + 80_000);
    expect(await workspace.attempts(task)).toMatchObject([
      { id: claimed.attempt_id, state: 'claimed', epoch: claimed.epoch, agent: agent.name },
    ]);
    const poller = await workspace.pollAgent();
    await workspace.task();
    expect((await poller.claimOne()).lease_ms).toBeGreaterThan(590_000);
  });

  test('epochs only grow, over all tasks and workspaces', async () => {
    const epochs: number[] = [];
    for (let round = 0; round < 4; round++) {
      const workspace = await app.workspace();
      const agent = await workspace.agent();
      await workspace.task();
      epochs.push((await agent.claimOne()).epoch);
    }
    expect(epochs).toEqual([...new Set(epochs)].toSorted((a, b) => a - b));
  });
});

describe('under contention', () => {
  test('50 concurrent claims of one agent never overfill its slots', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 7 });
    await workspace.tasks(30);
    const results = await Promise.all(Array.from({ length: 50 }, () => agent.claim(3)));
    // How many of the 50 were ended by a newer one before they claimed is a matter of timing; one more takes the rest.
    const got = [...results.flat(), ...(await agent.claim(30))].map(({ id }) => id);
    expect(new Set(got).size).toBe(got.length);
    expect((await workspace.agentRow(agent)).slots_used).toBe(7);
    expect(got).toHaveLength(7);
  });

  test('32 agents and 200 tasks: each task is claimed once, none is lost', async () => {
    const workspace = await app.workspace();
    const agents = await Promise.all(Array.from({ length: 32 }, () => workspace.agent({ slots: 4 })));
    await Promise.all(Array.from({ length: 200 }, () => workspace.task()));
    const done: number[] = [];
    const work = async (agent: TestAgent) => {
      for (let empty = 0; empty < 3;) {
        const tasks = await agent.claim(4);
        if (tasks.length === 0) empty += 1;
        for (const task of tasks) {
          expect(await agent.complete(task)).toEqual({ status: 'done' });
          done.push(task.id);
        }
      }
    };
    await Promise.all(agents.map(work));
    expect(new Set(done).size).toBe(200);
    expect(done).toHaveLength(200);
  });

  test('no claim commits after a drain answered, 200 interleavings', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 32 });
    const params = { id: agent.id };
    const outcomes = { claimed: 0, refused: 0 };
    const live = async () => {
      const [row] = await app.sql<
        { count: number }[]
      >`select count(*)::int as count from attempts where agent_id = ${agent.id}`;
      return row?.count ?? 0;
    };
    for (let round = 0; round < 200; round++) {
      await workspace.task();
      const claiming = sleep(round % 5, never).then(() => agent.claim(1));
      const draining = sleep((round * 3) % 7, never).then(() => workspace.admin.agents.drain({ params, body: {} }));
      await draining;
      const at_drain = await live();
      const got = (await claiming).flat();
      expect(await live(), `round ${round}`).toBe(at_drain);
      outcomes[got.length > 0 ? 'claimed' : 'refused'] += 1;
      for (const task of got) await agent.complete(task);
      await workspace.admin.agents.resume({ params, body: {} });
      for (const task of await agent.claim(9)) await agent.complete(task);
    }
    // Both orders happened, or nothing was raced.
    expect(outcomes.claimed).toBeGreaterThan(10);
    expect(outcomes.refused).toBeGreaterThan(10);
  }, 120_000);
});

describe('replay', () => {
  test('the same claim_id answers what is still live and claims nothing more', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 5 });
    await workspace.tasks(5);
    const first = await agent.claim(2, { claim_id: 'c-1' });
    expect(first).toHaveLength(2);
    const again = await agent.claim(2, { claim_id: 'c-1' });
    expect(again.map(({ id, epoch, attempt_token }) => [id, epoch, attempt_token])).toEqual(
      first.map(({ id, epoch, attempt_token }) => [id, epoch, attempt_token]),
    );
    await agent.complete(first[0] ?? { id: 0, epoch: 0 });
    expect((await agent.claim(5, { claim_id: 'c-1' })).map(({ id }) => id)).toEqual([first[1]?.id]);
    // Also while draining or disabled: that work is already his.
    await workspace.admin.agents.drain({ params: { id: agent.id }, body: {} });
    expect(await agent.claim(5, { claim_id: 'c-1' })).toHaveLength(1);
    expect(await agent.claim(5, { claim_id: 'c-2' })).toEqual([]);
  });

  test('another agent’s claim_id is another claim', async () => {
    const workspace = await app.workspace();
    const [one, two] = [await workspace.agent(), await workspace.agent()];
    await workspace.tasks(2);
    const [first] = await one.claim(1, { claim_id: 'same' });
    const [second] = await two.claim(1, { claim_id: 'same' });
    expect(second?.id).not.toBe(first?.id);
  });

  test('30 concurrent sends of one claim_id are one claim, also in one batch behind others', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 9 });
    const others = await Promise.all(Array.from({ length: 4 }, () => workspace.agent({ tags: ['none'] })));
    await workspace.tasks(9, { assigned_to: agent.name });
    await Promise.all([
      ...others.map((other) => other.claim(1)),
      ...Array.from({ length: 30 }, () => agent.claim(2, { claim_id: 'c' })),
      ...others.map((other) => other.claim(1)),
    ]);
    expect(await agent.claim(2, { claim_id: 'c' })).toHaveLength(2);
    expect((await workspace.agentRow(agent)).slots_used).toBe(2);
  });
});

describe('waiting', () => {
  test('a created task wakes the one who waits, at once', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const waiting = agent.claim(1, { wait_s: 50 });
    await parked(1);
    const task = await workspace.task();
    expect((await soon('woken', waiting)).map(({ id }) => id)).toEqual([task.id]);
    await parked(0);
  });

  test('a task wakes only who may have it, and as many as there are tasks', async () => {
    const workspace = await app.workspace();
    const gpu = await workspace.agent({ tags: ['gpu'] });
    const plain = await Promise.all([workspace.agent(), workspace.agent()]);
    const waiting = [gpu, ...plain].map((agent) => agent.claim(1, { wait_s: 50 }));
    await parked(3);
    await workspace.task({ required_tags: ['gpu'] });
    expect(await soon('gpu', waiting[0] ?? Promise.resolve([]))).toHaveLength(1);
    await parked(2);
    await workspace.tasks(2);
    expect(await soon('both', Promise.all(waiting.slice(1)))).toMatchObject([[{}], [{}]]);
  });

  test('a task that becomes claimable by retry, unpark, unassign, unclaim or a failure’s end wakes too', async () => {
    const workspace = await app.workspace();
    const [agent, other] = [await workspace.agent(), await workspace.agent()];
    const task = await workspace.task({ status: 'backlog' });
    const params = { id: task.id };
    const { tasks } = workspace.admin;
    const wakes: (() => Promise<unknown>)[] = [
      () => tasks.patch({ params, body: { status: 'inbox' } }),
      () => tasks.retry({ params }),
      async () => {
        await tasks.assign({ params, body: { assigned_to: other.name } });
        await tasks.unassign({ params });
      },
      () => tasks.assign({ params, body: { assigned_to: agent.name } }),
    ];
    const resets: (() => Promise<unknown>)[] = [
      () => Promise.resolve(),
      () => Promise.resolve(),
      async () => {
        await tasks.retry({ params });
        await tasks.patch({ params, body: { status: 'backlog' } });
        await tasks.assign({ params, body: { assigned_to: other.name } });
        await tasks.patch({ params, body: { status: 'assigned' } });
      },
      async () => {
        await tasks.retry({ params });
        await tasks.assign({ params, body: { assigned_to: other.name } });
      },
    ];
    for (const [index, wake] of wakes.entries()) {
      await resets[index]?.();
      const waiting = agent.claim(1, { wait_s: 50 });
      await parked(1);
      await wake();
      const [claimed] = await soon(`wake ${index}`, waiting);
      expect(claimed?.id).toBe(task.id);
      await agent.complete(claimed ?? { id: 0, epoch: 0 });
    }
  });

  test('a waiter whose slots are full passes the hint on', async () => {
    const workspace = await app.workspace();
    const [full, free] = [await workspace.agent(), await workspace.agent()];
    await workspace.task();
    await full.claimOne();
    const first = full.claim(1, { wait_s: 50 });
    await parked(1);
    const second = free.claim(1, { wait_s: 50 });
    await parked(2);
    const task = await workspace.task();
    expect((await soon('passed on', second)).map(({ id }) => id)).toEqual([task.id]);
    // A newer claim of an agent ends its parked one with nothing.
    expect(await full.claim(1)).toEqual([]);
    expect(await soon('ended', first)).toEqual([]);
    await parked(0);
  });

  test('a hint of a task that is gone by then does not go through all who wait', async () => {
    const workspace = await app.workspace();
    const agents = await Promise.all(Array.from({ length: 12 }, () => workspace.agent()));
    // Given and taken back: the class is known, and nothing of it is left.
    const [first] = agents;
    await workspace.task();
    const claimed = await first?.claimOne();
    if (claimed !== undefined) await first?.complete(claimed);
    const looked = (times: number) => expect.poll(looks, { interval: 2 }).toBe(times);
    const waiting: Promise<unknown>[] = [];
    for (const agent of agents) {
      const begun = await looks();
      waiting.push(agent.claim(1, { wait_s: 50 }));
      await looked(begun + 1);
    }
    await parked(agents.length);
    const [queue_class] = await app.sql<
      { id: number }[]
    >`select id from queue_classes where workspace_id = ${workspace.id}`;
    const before = await looks();
    app.deps.desk.wake(app.deps, queue_class?.id ?? 0, 1);
    await looked(before + 3);
    // Had it gone on, the fourth had looked before the one who gets this.
    await workspace.task();
    expect(await soon('woken', Promise.race(waiting))).toHaveLength(1);
    expect(await looks()).toBe(before + 4);
    for (const agent of agents) app.deps.desk.end(agent.id);
    await Promise.all(waiting);
  });

  test('ends with nothing when the time is over', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    expect(await agent.claim(1, { wait_s: 0.05 })).toEqual([]);
  });

  test('a drain ends it at once, and the drained agent is not parked again', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const waiting = agent.claim(1, { wait_s: 50 });
    await parked(1);
    await workspace.admin.agents.drain({ params: { id: agent.id }, body: {} });
    expect(await soon('ended', waiting)).toEqual([]);
    await workspace.task();
    expect(await soon('refused', agent.claim(1, { wait_s: 50 }))).toEqual([]);
  });

  test('a hint given to a request that goes away wakes the next one', async () => {
    const workspace = await app.workspace();
    const [leaving, staying] = [await workspace.agent(), await workspace.agent()];
    for (let round = 0; round < 20; round++) {
      const socket = new AbortController();
      const gone = leaving.claim(1, { wait_s: 50 }, socket.signal);
      await parked(1);
      const waiting = staying.claim(1, { wait_s: 50 });
      await parked(2);
      const creating = workspace.task();
      await sleep(round % 5, never);
      socket.abort();
      const [task, first] = [await creating, await gone];
      // It may have got the task in the moment it left; else the other one must.
      for (const claimed of first) await leaving.unclaim(claimed);
      const [claimed] = await soon(`round ${round}`, waiting);
      expect(claimed?.id).toBe(task.id);
      if (claimed !== undefined) await staying.complete(claimed);
    }
  });

  test('an abort in any moment ends the wait', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    for (let round = 0; round < 20; round++) {
      const socket = new AbortController();
      const waiting = agent.claim(1, { wait_s: 50 }, socket.signal);
      await sleep(round % 7, never);
      socket.abort();
      expect(await soon(`round ${round}`, waiting)).toEqual([]);
    }
  });

  test('an aborted request claims nothing', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const socket = new AbortController();
    const waiting = agent.claim(1, { wait_s: 50 }, socket.signal);
    await parked(1);
    socket.abort();
    expect(await soon('ended', waiting)).toEqual([]);
    const task = await workspace.task();
    expect(await agent.claim(1, {}, AbortSignal.abort()).catch(() => [])).toEqual([]);
    expect((await workspace.read(task)).status).toBe('inbox');
    expect(await workspace.attempts(task)).toEqual([]);
  });
});

describe('forms of the same call', () => {
  test('/tasks/next is 204 or one task; x-api-key, /api and PATCH work as well', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 9 });
    const key = { headers: { 'x-api-key': agent.token } };
    const empty = await app.request('GET', '/api/v1/tasks/next', key);
    expect(empty).toMatchObject({ status: 204, text: '' });
    expect(empty.headers.get('cache-control')).toBe('no-store');
    const tasks = await workspace.tasks(4);
    const next = await app.request('GET', '/api/tasks/next?claim_id=n1', key);
    expect(next).toMatchObject({ status: 200, body: { id: tasks[0]?.id, kind: 'task' } });
    expect(next.headers.get('cache-control')).toBe('no-store');
    expect((await app.request('GET', '/api/tasks/next?claim_id=n1', key)).body.id).toBe(tasks[0]?.id);
    expect((await app.request('PATCH', '/api/v1/tasks/claim', { ...key, body: { slots: 1 } })).body).toMatchObject({
      tasks: [{ id: tasks[1]?.id }],
    });
    expect((await app.request('POST', '/api/tasks/claim', { ...key, body: { slots: 1 } })).body).toMatchObject({
      tasks: [{ id: tasks[2]?.id }],
    });
    const patched = await app.request('PATCH', `/api/tasks/${tasks[0]?.id}/complete`, {
      ...key,
      body: { epoch: next.body.epoch, resolution: 'ok' },
    });
    expect(patched).toMatchObject({ status: 200, body: { status: 'done' } });
    // Never a cookie, never a query parameter.
    for (const how of [{ headers: { cookie: `token=${agent.token}` } }, {}]) {
      expect((await app.request('GET', `/api/v1/tasks/next?token=${agent.token}`, how)).status).toBe(401);
    }
  });

  test('people may not claim', async () => {
    const workspace = await app.workspace();
    await expect(workspace.admin.tasks.claim({ body: { slots: 1 } })).rejects.toMatchObject({
      status: 403,
      code: 'forbidden',
    });
    expect((await app.request('POST', '/api/v1/tasks/claim', { body: { slots: 1 } })).status).toBe(401);
  });
});

test('a coordinator that stops answers who waits at once, and looks no more for them', async () => {
  const workspace = await app.workspace();
  const agents = await Promise.all(Array.from({ length: 20 }, () => workspace.agent()));
  const config = { ...app.deps.config, FLOTILLA_HOST: '127.0.0.1', FLOTILLA_PORT: 0, FLOTILLA_SHUTDOWN_MS: 5_000 };
  const server = await startHttp({ ...app.deps, config });
  const waiting = agents.map(({ token }) => {
    const client = createClient({ base_url: server.url, token });
    return client.tasks.claim({ body: { slots: 1, wait_s: 20 } });
  });
  await parked(20);
  const before = await looks();
  await soon('the end of the server', server.close());
  expect(await Promise.all(waiting)).toEqual(agents.map(() => ({ tasks: [] })));
  expect((await looks()) - before).toBeLessThan(20);
});
