// Longer than most: everything a person may do with an agent shares its fleet.
import { ApiError } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import { freshName } from './lib/fleet.ts';

const app = await testApp();

describe('reading and changing agents', () => {
  test('lists by page, tag and derived status; other workspaces see nothing', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const online = await workspace.agent({ tags: ['gpu'], online: true });
    const silent = await workspace.agent();
    const names = async (query: { status?: string; tag?: string; limit?: number; cursor?: string }) =>
      (await admin.agents.list({ query })).agents.map(({ name }) => name);
    expect(await names({})).toEqual([silent.name, online.name]);
    expect(await names({ tag: 'gpu' })).toEqual([online.name]);
    expect(await names({ status: 'offline' })).toEqual([silent.name]);
    const page = await admin.agents.list({ query: { limit: 1 } });
    expect(await names({ limit: 1, cursor: page.next_cursor ?? '' })).toEqual([online.name]);
    const other = await app.workspace();
    expect((await other.admin.agents.list()).agents).toEqual([]);
    await expect(other.agentRow(online)).rejects.toMatchObject({ status: 404 });
    await expect(other.admin.agents.drain({ params: { id: online.id }, body: {} })).rejects.toMatchObject({
      status: 404,
    });
    // An agent sees itself only.
    expect((await silent.client.agents.list()).agents.map(({ name }) => name)).toEqual([silent.name]);
    await expect(silent.client.agents.get({ params: { id: online.id } })).rejects.toMatchObject({ status: 404 });
  });

  test('are counted by status, with the slots of those that are online and all that are in use', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const [busy, capped, draining, disabled] = [
      await workspace.agent({ online: true, slots: 4 }),
      await workspace.agent({ online: true }),
      await workspace.agent({ online: true, slots: 2 }),
      await workspace.agent({ online: true, slots: 2 }),
    ];
    const silent = await workspace.agent({ slots: 8 });
    await admin.agents.patch({ params: { id: capped.id }, body: { slots_ceiling: 3 } });
    await capped.beat([], { slots: 20 });
    const tasks = [await workspace.task(), await workspace.task(), await workspace.task()];
    expect(await busy.claim(2)).toHaveLength(2);
    expect(await draining.claim(1)).toHaveLength(1);
    await admin.agents.drain({ params: { id: draining.id }, body: {} });
    await admin.agents.patch({ params: { id: disabled.id }, body: { disabled: true } });
    const { agents, slots, tasks: counted } = await admin.workspaces.status();
    expect(agents).toEqual({ online: 2, draining: 1, offline: 1, disabled: 1 });
    expect(slots).toEqual({ total: 4 + 3, used: tasks.length });
    expect(counted).toMatchObject({ in_progress: tasks.length, inbox: 0 });
    // Another workspace has none of these, and an agent sees itself only.
    const none = { online: 0, draining: 0, offline: 0, disabled: 0 };
    expect(await (await app.workspace()).admin.workspaces.status()).toMatchObject({
      agents: none,
      slots: { total: 0, used: 0 },
    });
    expect(await silent.client.workspaces.status()).toMatchObject({
      agents: { ...none, offline: 1 },
      slots: { total: 0, used: 0 },
    });
  });

  test('takes a patch bare or wrapped, by PATCH or PUT', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const at = `/api/v1/agents/${agent.id}`;
    const patch = (method: string, body: unknown) => app.request(method, at, { token: workspace.token, body });
    expect((await patch('PATCH', { tags: ['a'] })).body).toMatchObject({ tags: ['a'] });
    expect((await patch('PATCH', { agent: { tags: ['b'], role: 'reviewer' } })).body).toMatchObject({
      tags: ['b'],
      role: 'reviewer',
    });
    expect((await patch('PUT', { agent: { metadata: { rack: 7 } } })).body).toMatchObject({
      metadata: { rack: 7 },
      tags: ['b'],
    });
    expect(await patch('PATCH', { slots: 3 })).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    expect(await patch('PATCH', { agent: { colour: 'red' } })).toMatchObject({ status: 400 });
  });

  test('refuses a patch of an older version with the current row, and changes nothing', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const agent = await workspace.agent();
    const read = await app.request('GET', `/api/v1/agents/${agent.id}`, { token: workspace.token });
    const etag = read.headers.get('etag') ?? '';
    const first = await admin.agents.patch(
      { params: { id: agent.id }, body: { tags: ['x'] } },
      { headers: { 'if-match': etag } },
    );
    expect(first.row_version).toBeGreaterThan(Number(read.body.row_version));
    await expect(
      admin.agents.patch({ params: { id: agent.id }, body: { tags: ['y'] } }, { headers: { 'if-match': etag } }),
    ).rejects.toMatchObject({
      status: 412,
      code: 'version_mismatch',
      details: { current: { tags: ['x'], row_version: first.row_version } },
    });
    expect((await workspace.agentRow(agent)).tags).toEqual(['x']);
    const bad = await app.request('PATCH', `/api/v1/agents/${agent.id}`, {
      token: workspace.token,
      body: {},
      headers: { 'if-match': 'soon' },
    });
    expect(bad.status).toBe(400);
  });

  test('renames, but not to a name in use', async () => {
    const workspace = await app.workspace();
    const [one, two] = [await workspace.agent(), await workspace.agent()];
    const rename = (name: string) => workspace.admin.agents.patch({ params: { id: one.id }, body: { name } });
    await expect(rename(two.name)).rejects.toMatchObject({ status: 409, code: 'name_taken' });
    expect((await rename(one.name)).name).toBe(one.name);
    const next = freshName('renamed');
    expect((await rename(next)).name).toBe(next);
  });

  test('a rename takes its assigned tasks along, whatever is edited afterwards', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task({ assigned_to: agent.name });
    const next = freshName('renamed');
    await workspace.admin.agents.patch({ params: { id: agent.id }, body: { name: next } });
    expect(await workspace.read(task)).toMatchObject({ assigned_to: next, assigned_agent_id: agent.id });
    const edited = await workspace.admin.tasks.patch({ params: { id: task.id }, body: { title: 'edited' } });
    expect(edited).toMatchObject({ assigned_to: next, assigned_agent_id: agent.id, status: 'assigned' });
    expect((await agent.claimOne()).id).toBe(task.id);
  });

  test('renames, registrations and deletions of the same names at once never wait for each other in a circle', async () => {
    const workspace = await app.workspace();
    const names = [freshName('raced'), freshName('raced')];
    const failures: unknown[] = [];
    const attempt = async (call: Promise<unknown>) => {
      await call.catch((error: unknown) => {
        // A conflict is an answer; a deadlock, which Postgres ends, is none.
        if (!(error instanceof ApiError) || error.status >= 500) failures.push(error);
      });
    };
    for (let round = 0; round < 25; round++) {
      const mine = [await workspace.agent(), await workspace.agent()];
      await workspace.task({ assigned_to: names[round % 2] });
      const raced = mine.flatMap(({ id }, index) => [
        attempt(workspace.admin.agents.patch({ params: { id }, body: { name: names[index] } })),
        attempt(workspace.admin.agents.register({ body: { name: names[1 - index] ?? '', role: 'agent' } })),
      ]);
      const { agents } = await workspace.admin.agents.list();
      const holders = agents.filter(({ name }) => names.includes(name));
      await Promise.all([
        ...raced,
        ...holders.map(({ id }) => attempt(workspace.admin.agents.delete({ params: { id } }))),
      ]);
      const left = (await workspace.admin.agents.list()).agents;
      for (const { id } of left) await attempt(workspace.admin.agents.delete({ params: { id } }));
    }
    expect(failures).toEqual([]);
  });

  test('a rename binds what waited for the new name', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const name = freshName('expected');
    const task = await workspace.task({ assigned_to: name });
    expect(task).toMatchObject({ assigned_agent_id: null, waiting_for: { code: 'unknown_agent' } });
    await workspace.admin.agents.patch({ params: { id: agent.id }, body: { name } });
    expect((await workspace.read(task)).assigned_agent_id).toBe(agent.id);
    expect((await agent.claimOne()).id).toBe(task.id);
  });
});

describe('disable', () => {
  test('gives no more work at once, ends a parked claim, and is undone', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const parked = agent.claim(1, { wait_s: 50 });
    await expect.poll(() => app.deps.desk.parked()).toBe(1);
    const row = await workspace.admin.agents.patch({ params: { id: agent.id }, body: { disabled: true } });
    expect(row).toMatchObject({ status: 'disabled', disabled_at: expect.any(String) as string });
    expect(await parked).toEqual([]);
    await workspace.task();
    expect(await agent.claim()).toEqual([]);
    expect((await agent.beat()).eligibility).toBe('ineligible');
    await workspace.admin.agents.patch({ params: { id: agent.id }, body: { disabled: false } });
    expect(await agent.claim()).toHaveLength(1);
  });
});

describe('delete', () => {
  const remove = (workspace: Awaited<ReturnType<typeof app.workspace>>, agent: { id: number }) =>
    workspace.admin.agents.delete({ params: { id: agent.id } });

  test('is refused while it runs something', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    await workspace.task();
    const task = await agent.claimOne();
    await expect(remove(workspace, agent)).rejects.toMatchObject({ status: 409, code: 'agent_busy' });
    await agent.complete(task);
    await expect(remove(workspace, agent)).resolves.toBeNull();
  });

  test('tells the agent 410 and frees its name', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    await agent.beat();
    await remove(workspace, agent);
    await expect(agent.beat()).rejects.toMatchObject({ status: 410, code: 'agent_gone' });
    await expect(agent.claim()).rejects.toMatchObject({ status: 410, code: 'agent_gone' });
    await expect(agent.client.tasks.next()).rejects.toMatchObject({ status: 410, code: 'agent_gone' });
    await expect(workspace.agentRow(agent)).rejects.toMatchObject({ status: 404 });
    const again = await workspace.agent({ name: agent.name });
    expect(again.id).not.toBe(agent.id);
    await expect(agent.claim()).rejects.toMatchObject({ status: 410 });
    await expect(again.claim()).resolves.toEqual([]);
  });

  test('ends a parked claim', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const parked = agent.claim(1, { wait_s: 50 });
    await expect.poll(() => app.deps.desk.parked()).toBe(1);
    await remove(workspace, agent);
    expect(await parked).toEqual([]);
  });

  test('unbinds its waiting tasks until an agent of that name comes', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const queued = await workspace.task({ assigned_to: agent.name });
    const parked = await workspace.task({ assigned_to: agent.name, status: 'backlog' });
    await remove(workspace, agent);
    for (const task of [queued, parked]) {
      expect(await workspace.read(task)).toMatchObject({
        assigned_to: agent.name,
        assigned_agent_id: null,
        status: task.status,
      });
    }
    expect((await workspace.read(queued)).waiting_for?.code).toBe('unknown_agent');
    const again = await workspace.agent({ name: agent.name });
    expect((await workspace.read(parked)).assigned_agent_id).toBe(again.id);
    expect((await again.claimOne()).id).toBe(queued.id);
  });

  test.each(['retry', 'reject'] as const)(
    'a task that ended before waits for its name when it comes back by %s',
    async (how) => {
      const workspace = await app.workspace();
      const { admin } = workspace;
      const agent = await workspace.agent();
      const task = await workspace.task({ assigned_to: agent.name, review: how === 'reject' ? 'human' : 'none' });
      await agent.complete(await agent.claimOne());
      await remove(workspace, agent);
      const params = { id: task.id };
      const back =
        how === 'retry'
          ? await admin.tasks.retry({ params })
          : await admin.tasks.patch({ params, body: { status: 'assigned' } });
      expect(back).toMatchObject({
        status: 'assigned',
        assigned_to: agent.name,
        waiting_for: { code: 'unknown_agent' },
      });
      const again = await workspace.agent({ name: agent.name });
      expect((await again.claimOne()).id).toBe(task.id);
    },
  );
});

describe('drain and resume', () => {
  test('count generations; resume clears only the one it names', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const agent = await workspace.agent({ online: true });
    const params = { id: agent.id };
    const first = await admin.agents.drain({
      params,
      body: { deadline_s: 600, on_deadline: 'requeue', reason: 'kernel' },
    });
    expect(first).toMatchObject({
      status: 'draining',
      eligibility: 'ineligible',
      eligibility_generation: 1,
      drained: true,
      drain: { generation: 1, on_deadline: 'requeue', reason: 'kernel' },
    });
    const second = await admin.agents.drain({ params, body: {} });
    expect(second).toMatchObject({
      eligibility_generation: 2,
      drain: { on_deadline: 'wait', deadline: null, reason: null },
    });
    await expect(admin.agents.resume({ params, body: { generation: 1 } })).rejects.toMatchObject({
      status: 412,
      code: 'version_mismatch',
      details: { current: { eligibility_generation: 2 } },
    });
    await workspace.task();
    expect(await agent.claim()).toEqual([]);
    const resumed = await admin.agents.resume({ params, body: { generation: 2 } });
    expect(resumed).toMatchObject({
      status: 'online',
      eligibility: 'eligible',
      eligibility_generation: 3,
      drain: null,
      drained: false,
    });
    // Nothing to resume: nothing changes.
    expect((await admin.agents.resume({ params, body: {} })).eligibility_generation).toBe(3);
    expect(await agent.claim()).toHaveLength(1);
  });

  test('reach the host by its beat, with the time that is left', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ online: true });
    await workspace.task();
    const task = await agent.claimOne();
    const drained = await workspace.admin.agents.drain({
      params: { id: agent.id },
      body: { deadline_s: 100, on_deadline: 'kill' },
    });
    expect(drained.drained).toBe(false);
    await app.shiftClock(40_000);
    const answer = await agent.beat([task]);
    expect(answer).toMatchObject({
      eligibility: 'ineligible',
      eligibility_generation: 1,
      drain: { generation: 1, on_deadline: 'kill' },
      desired_state: { action: 'drain' },
      attempts: [{ task_id: task.id, epoch: task.epoch, verdict: 'renewed' }],
    });
    expect(answer.drain?.remaining_ms).toBeGreaterThan(50_000);
    expect(answer.drain?.remaining_ms).toBeLessThanOrEqual(60_000);
    await app.shiftClock(100_000);
    expect((await agent.beat([task])).drain?.remaining_ms).toBe(0);
    await agent.complete(task);
    expect((await workspace.agentRow(agent)).drained).toBe(true);
    await workspace.admin.agents.resume({ params: { id: agent.id }, body: {} });
    expect(await agent.beat()).toMatchObject({
      drain: null,
      eligibility: 'eligible',
      desired_state: { action: 'run' },
    });
  });
});

test('status is derived: never heard of, online, draining, offline, disabled', async () => {
  const workspace = await app.workspace();
  const { admin } = workspace;
  const agent = await workspace.agent();
  const params = { id: agent.id };
  const status = async () => (await workspace.agentRow(agent)).status;
  expect(await status()).toBe('offline');
  await agent.beat();
  expect(await status()).toBe('online');
  await app.shiftClock(40_000);
  expect(await status()).toBe('online');
  await app.shiftClock(6_000);
  expect(await status()).toBe('offline');
  // Offline is a label: the agent may still claim.
  await workspace.task();
  const task = await agent.claimOne();
  await admin.agents.drain({ params, body: {} });
  expect(await status()).toBe('offline');
  expect((await agent.beat([task])).agent.status).toBe('draining');
  expect(await status()).toBe('draining');
  await admin.agents.patch({ params, body: { disabled: true } });
  expect(await status()).toBe('disabled');
  await app.shiftClock(60_000);
  expect(await status()).toBe('disabled');
  await agent.complete(task);
});

describe('slots', () => {
  const slotsOf = async (workspace: Awaited<ReturnType<typeof app.workspace>>, agent: { id: number }) => {
    const { slots, slots_ceiling } = await workspace.agentRow(agent);
    return { slots, slots_ceiling };
  };

  test('are what the host reports, capped by the ceiling, else the join token’s number, else 1', async () => {
    const workspace = await app.workspace();
    const register = async (body: { slots?: number }, reported?: number) => {
      const { token } = await workspace.admin.join_tokens.create({ body });
      const agent = { name: freshName('host'), ...(reported === undefined ? {} : { slots: reported }) };
      return (await app.client(null).agents.register({ body: { join_token: token ?? '', agent } })).agent;
    };
    expect(await register({})).toMatchObject({ slots: 1, slots_ceiling: 32 });
    expect(await register({}, 100)).toMatchObject({ slots: 32 });
    expect(await register({ slots: 4 })).toMatchObject({ slots: 4, slots_ceiling: 4 });
    expect(await register({ slots: 4 }, 2)).toMatchObject({ slots: 2 });
    expect(await register({ slots: 4 }, 9)).toMatchObject({ slots: 4 });
  });

  test('follow what beats report and what an admin allows; claims obey', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 2 });
    await workspace.tasks(6);
    await agent.beat([], { slots: 5 });
    expect(await slotsOf(workspace, agent)).toMatchObject({ slots: 5 });
    await workspace.admin.agents.patch({ params: { id: agent.id }, body: { slots_ceiling: 3 } });
    expect(await slotsOf(workspace, agent)).toEqual({ slots: 3, slots_ceiling: 3 });
    const held = await agent.claim(10);
    expect(held).toHaveLength(3);
    expect((await workspace.agentRow(agent)).slots_used).toBe(3);
    await workspace.admin.agents.patch({ params: { id: agent.id }, body: { slots_ceiling: 1 } });
    await agent.complete(held[0] ?? { id: 0, epoch: 0 });
    expect(await agent.claim(10)).toEqual([]);
    await agent.beat(held.slice(1), { slots: 0 });
    for (const task of held.slice(1)) await agent.complete(task);
    expect(await agent.claim(1)).toEqual([]);
  });

  test('beats write the agent’s row only when a reported fact changed', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    await agent.beat([], { version: '1.2.3', executors: ['claude'], slots: 1 });
    const before = await workspace.agentRow(agent);
    expect(before).toMatchObject({ version: '1.2.3', executors: ['claude'] });
    for (let beats = 0; beats < 3; beats++) await agent.beat([], { version: '1.2.3', executors: ['claude'], slots: 1 });
    expect((await workspace.agentRow(agent)).row_version).toBe(before.row_version);
  });
});

describe('two processes as one agent', () => {
  const setUp = async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    await workspace.task();
    const task = await agent.claimOne();
    const expiry = async () => (await workspace.read(task)).lease_expires_at;
    const first = { instance_id: 'first', machine_id: 'm', boot_id: 'b' };
    await agent.beat([task], first);
    return { agent, task, expiry, first };
  };
  const conflict = { status: 409, code: 'instance_conflict' };

  test('the next one of the same machine and boot takes over at once; the older one gets nothing any more', async () => {
    const { agent, task, expiry, first } = await setUp();
    expect(await agent.beat([task], { ...first, instance_id: 'second' })).toMatchObject({
      attempts: [{ verdict: 'renewed' }],
    });
    const before = await expiry();
    await app.shiftClock(30_000);
    await expect(agent.beat([task], first)).rejects.toMatchObject(conflict);
    expect(await expiry()).toBe(before);
    await agent.beat([task], { ...first, instance_id: 'second' });
    expect(await expiry()).not.toBe(before);
  });

  test('one of another boot takes over when the old one is silent, one of another machine never', async () => {
    const { agent, task, expiry, first } = await setUp();
    const before = await expiry();
    const rebooted = { ...first, instance_id: 'rebooted', boot_id: 'c' };
    const moved = { ...first, instance_id: 'moved', machine_id: 'n' };
    await app.shiftClock(5_000);
    await expect(agent.beat([task], rebooted)).rejects.toMatchObject(conflict);
    await expect(agent.beat([task], moved)).rejects.toMatchObject(conflict);
    expect(await expiry()).toBe(before);
    await app.shiftClock(15_000);
    await expect(agent.beat([task], moved)).rejects.toMatchObject(conflict);
    expect((await agent.beat([task], rebooted)).attempts).toMatchObject([{ verdict: 'renewed' }]);
    await expect(agent.beat([task], first)).rejects.toMatchObject(conflict);
  });

  test('a host that cannot tell its machine is told apart by its processes alone', async () => {
    const { agent, task, first } = await setUp();
    expect((await agent.beat([task], { instance_id: 'container' })).attempts).toMatchObject([{ verdict: 'renewed' }]);
    await expect(agent.beat([task], first)).rejects.toMatchObject(conflict);
  });

  test('disturb nobody who beats at the same moment', async () => {
    const { agent, task, first } = await setUp();
    const other = await setUp();
    await agent.beat([task], { ...first, instance_id: 'second' });
    const beats = await Promise.allSettled([
      agent.beat([task], first),
      ...Array.from({ length: 5 }, () => other.agent.beat([other.task], other.first)),
      agent.beat([task], first),
    ]);
    expect(beats.map(({ status }) => status)).toEqual(['rejected', ...Array(5).fill('fulfilled'), 'rejected']);
  });
});

test('one bad beat or claim does not spoil those that travel with it', async () => {
  const workspace = await app.workspace();
  const agents = await Promise.all(Array.from({ length: 6 }, () => workspace.agent()));
  const [bad, ...good] = agents;
  const beat = { instance_id: 'i', seq: 1, eligibility_generation: 2 ** 40 };
  const spoiled = [
    app.request('POST', `/api/v1/agents/${bad?.id}/heartbeat`, { token: bad?.token, body: beat }),
    app.request('POST', `/api/v1/agents/${bad?.id}/heartbeat`, {
      token: bad?.token,
      body: { ...beat, eligibility_generation: 0, instance_id: 'a\u0000' },
    }),
    app.request('POST', '/api/v1/tasks/claim', { token: bad?.token, body: { slots: 1, claim_id: 'a\u0000' } }),
  ];
  await Promise.all(good.flatMap((agent) => [agent.beat(), agent.claim()]));
  for (const answer of spoiled) expect((await answer).status).toBe(400);
});

test('an agent acts on its own record only', async () => {
  const workspace = await app.workspace();
  const [one, two] = [await workspace.agent(), await workspace.agent()];
  const body = { instance_id: 'i', seq: 1 };
  await expect(one.client.agents.heartbeat({ params: { id: two.id }, body })).rejects.toMatchObject({ status: 404 });
  await expect(one.client.agents.patch({ params: { id: one.id }, body: { tags: ['root'] } })).rejects.toMatchObject({
    status: 403,
  });
  await expect(workspace.admin.agents.heartbeat({ params: { id: one.id }, body })).rejects.toMatchObject({
    status: 403,
  });
});
