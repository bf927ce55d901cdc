// Longer than most: sequence, stream and audit share one chain.
import { createHash } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import { sequence, sequencerLoop } from '../src/events/sequencer.ts';
import { testApp } from './lib/app.ts';
import { openEvents } from './lib/sse.ts';
import { during, until } from './lib/until.ts';

const app = await testApp();

type Row = { id: number; seq: number; type: string; entity_id: number; version: number };
const allEvents = () => app.sql<Row[]>`select id, seq, type, entity_id, version from events order by seq`;
const newest = async () =>
  (await app.sql<{ last_seq: number }[]>`select last_seq from sequencer where chain = 'events'`)[0]?.last_seq ?? 0;

describe('the sequence', () => {
  test('has no gaps and is causal per entity, under 200 concurrent changes and several sequencers', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ slots: 32 });
    const tasks = await Promise.all(Array.from({ length: 20 }, () => workspace.task()));
    const patches = Array.from({ length: 200 }, (_, index) =>
      workspace.admin.tasks.patch({
        params: { id: tasks[index % 20]?.id ?? 0 },
        body: { priority: index % 2 === 0 ? 'high' : 'low' },
      }),
    );
    const work = (async () => {
      for (const task of await agent.claim(20)) await agent.complete(task);
    })();
    const sequencers = Array.from({ length: 40 }, () => sequence(app.deps));
    await Promise.all([...patches, work, ...sequencers]);
    await app.sequence();
    const events = await allEvents();
    expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: events.length }, (_, index) => index + 1));
    expect(await newest()).toBe(events.length);
    for (const task of tasks) {
      const versions = events
        .filter(({ type, entity_id }) => type.startsWith('task.') && entity_id === task.id)
        .map(({ version }) => version);
      expect(versions).toEqual(Array.from({ length: versions.length }, (_, index) => index + 1));
      expect(versions.at(-1)).toBe((await workspace.read(task)).version);
    }
  });

  test('a change that was rolled back has no event', async () => {
    const workspace = await app.workspace();
    const task = await workspace.task();
    await app.sequence();
    const before = await newest();
    await expect(
      workspace.admin.tasks.patch({ params: { id: task.id }, body: { status: 'done' } }),
    ).rejects.toMatchObject({ status: 409 });
    await app.sequence();
    expect(await newest()).toBe(before);
  });
});

describe('the stream', () => {
  test('is live: every change of a task’s life comes in order, without free text', async () => {
    const workspace = await app.workspace();
    const stream = await openEvents(app, workspace.token);
    await during(
      (signal) => sequencerLoop(app.deps, signal),
      async () => {
        const agent = await workspace.agent();
        const task = await workspace.task({ title: 'the secret plan', review: 'human' });
        const params = { id: task.id };
        const held = await agent.claimOne();
        await agent.start(held);
        await workspace.admin.tasks.cancel({ params, body: { reason: 'the secret reason' } });
        await agent.complete(held, { resolution: 'the secret result' });
        await workspace.admin.tasks.patch({ params, body: { status: 'done' } });
        await workspace.admin.tasks.retry({ params });
        await workspace.admin.tasks.release({ params }).catch(() => {});
        await agent.fail(await agent.claimOne(), { message: 'the secret message' });
        await workspace.admin.tasks.cancel({ params, body: {} });
        await workspace.admin.tasks.delete({ params });
        await workspace.admin.agents.drain({ params: { id: agent.id }, body: { reason: 'the secret drain' } });
        await workspace.admin.agents.delete({ params: { id: agent.id } });
        await until('the last event', () => stream.types().includes('agent.deleted'));
      },
    );
    expect(stream.types()).toEqual([
      'agent.created',
      'task.created',
      'task.claimed',
      'task.started',
      'task.cancel_requested',
      'task.review',
      'task.completed',
      'task.retried',
      'task.claimed',
      'task.requeued',
      'task.cancelled',
      'task.deleted',
      'agent.status_changed',
      'agent.deleted',
    ]);
    const seqs = stream.events().map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    expect(stream.frames.slice(1).map(({ id }) => id)).toEqual(seqs);
    expect(JSON.stringify(stream.frames)).not.toContain('secret');
    await stream.close();
  });

  test('replays what came after an id, once, and filters by family or type', async () => {
    const workspace = await app.workspace();
    await app.sequence();
    const start = await newest();
    const agent = await workspace.agent();
    await workspace.task();
    await agent.complete(await agent.claimOne());
    await app.sequence();
    const last = await newest();
    const read = async (search: string, headers = {}) => {
      const stream = await openEvents(app, workspace.token, search, headers);
      // What replay gives comes before anything new.
      const marker = await workspace.task();
      await app.sequence();
      app.deps.hub.raise('events');
      if (!search.includes('agent'))
        await until('the marker', () =>
          stream.events().some(({ entity_id, type }) => type === 'task.created' && entity_id === marker.id),
        );
      else await until('what is asked for', () => stream.events().length > 0);
      await stream.close();
      return stream.events().filter(({ seq }) => seq <= last);
    };
    expect((await read(`?last_event_id=${start}`)).map(({ type }) => type)).toEqual([
      'agent.created',
      'task.created',
      'task.claimed',
      'task.completed',
    ]);
    expect((await read('', { 'last-event-id': String(start + 1) })).map(({ type }) => type)).toEqual([
      'task.created',
      'task.claimed',
      'task.completed',
    ]);
    expect((await read(`?last_event_id=${start}&types=task`)).map(({ type }) => type)).toEqual([
      'task.created',
      'task.claimed',
      'task.completed',
    ]);
    expect((await read(`?last_event_id=${start}&types=agent`)).map(({ type }) => type)).toEqual(['agent.created']);
    expect((await read(`?last_event_id=${start}&types=task.claimed,task.created`)).map(({ type }) => type)).toEqual([
      'task.created',
      'task.claimed',
    ]);
    expect(await read('')).toEqual([]);
    for (const search of ['?types=TASK', '?last_event_id=-1', '?last_event_id=x', '?type=task']) {
      expect((await app.request('GET', `/api/v1/events${search}`, { token: workspace.token })).status, search).toBe(
        400,
      );
    }
  });

  test('says reset when the id is from the future or older than what is kept', async () => {
    const workspace = await app.workspace();
    for (let made = 0; made < 3; made++) await workspace.task(); // each in a transaction of its own
    await app.sequence();
    const last = await newest();
    const future = await openEvents(app, workspace.token, `?last_event_id=${last + 5}`);
    expect(future.frames[0]).toEqual({ id: last, event: 'stream.reset', data: '{}' });
    await app.sql`delete from event_batches where last_seq <= ${last - 1}`;
    const old = await openEvents(app, workspace.token, `?last_event_id=${last - 3}`);
    expect(old.frames[0]).toMatchObject({ event: 'stream.reset', id: last });
    const kept = await openEvents(app, workspace.token, `?last_event_id=${last - 1}`);
    await until('the one that is kept', () => kept.types().length === 1);
    // All go on live.
    await workspace.task();
    await app.sequence();
    for (const stream of [future, old, kept]) {
      await until(
        'the new event',
        () => stream.types().at(-1) === 'task.created' && stream.frames.at(-1)?.id === last + 1,
      );
      await stream.close();
    }
  });

  test('shows a workspace only its own, and an agent only itself and its tasks', async () => {
    const [mine, other] = [await app.workspace(), await app.workspace()];
    const [agent, colleague] = [await mine.agent(), await mine.agent()];
    await app.sequence();
    const outside = await openEvents(app, other.token);
    const self = await openEvents(app, agent.token);
    const people = await openEvents(app, mine.token);
    const assigned = await mine.task({ assigned_to: agent.name });
    const foreign = await mine.task({ assigned_to: colleague.name });
    await agent.complete(await agent.claimOne());
    await colleague.complete(await colleague.claimOne());
    await mine.admin.agents.drain({ params: { id: colleague.id }, body: {} });
    await mine.admin.agents.drain({ params: { id: agent.id }, body: {} });
    const beacon = await other.task();
    await app.sequence();
    app.deps.hub.raise('events');
    await until('the drain', () => self.types().includes('agent.status_changed'));
    await until('the beacon', () => outside.events().length > 0);
    await until('both drains', () => people.types().filter((type) => type === 'agent.status_changed').length === 2);
    expect(outside.events().map(({ entity_id }) => entity_id)).toEqual([beacon.id]);
    expect(self.events().map(({ type, entity_id }) => [type, entity_id])).toEqual([
      ['task.created', assigned.id],
      ['task.claimed', assigned.id],
      ['task.completed', assigned.id],
      ['agent.status_changed', agent.id],
    ]);
    expect(people.events().some(({ entity_id, type }) => type === 'task.claimed' && entity_id === foreign.id)).toBe(
      true,
    );
    await Promise.all([outside.close(), self.close(), people.close()]);
  });

  test('needs a token, and an attempt’s own is not enough', async () => {
    expect((await app.request('GET', '/api/v1/events')).status).toBe(401);
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    await workspace.task();
    const { attempt_token } = await agent.claimOne();
    expect((await app.request('GET', '/api/v1/events', { token: attempt_token })).status).toBe(403);
  });
});

describe('the audit', () => {
  test('records acts of people, not of agents', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    await agent.beat();
    const held = await agent.claimOne();
    await agent.start(held);
    await agent.complete(held);
    await workspace.admin.tasks.retry({ params: { id: task.id } });
    await workspace.admin.agents.drain({ params: { id: agent.id }, body: {} });
    await app.sequence();
    const { audit } = await workspace.admin.audit.list();
    expect(audit.map(({ action }) => action)).toEqual([
      'agent.drain',
      'task.retry',
      'task.create',
      'agent.register',
      'join_token.create',
    ]);
    expect(audit[0]).toMatchObject({
      principal: 'token:admin',
      entity: 'agent',
      entity_id: agent.id,
      request_id: expect.any(String) as string,
    });
    expect(audit.every(({ seq, hash }) => seq !== null && hash !== null)).toBe(true);
    await expect(agent.client.audit.list()).rejects.toMatchObject({ status: 403 });
    expect((await (await app.workspace()).admin.audit.list()).audit).toEqual([]);
  });

  test('is sealed: the chain recomputed by its rule gives the stored hashes', async () => {
    const workspace = await app.workspace();
    await Promise.all(Array.from({ length: 30 }, () => workspace.task()));
    await Promise.all(Array.from({ length: 5 }, () => sequence(app.deps)));
    await workspace.task({ metadata: { ü: [1, null, { z: 'a', a: 'z' }] } });
    await app.sequence();
    const rows = await app.sql<
      {
        id: number;
        seq: number;
        workspace_id: number;
        principal: string;
        action: string;
        entity: string;
        entity_id: number | null;
        details: unknown;
        created_at: string;
        hash: Uint8Array;
      }[]
    >`select * from audit_events order by seq`;
    expect(rows.length).toBeGreaterThan(30);
    let hash: Uint8Array = new Uint8Array();
    for (const [index, row] of rows.entries()) {
      expect(row.seq).toBe(index + 1);
      hash = createHash('sha256')
        .update(hash)
        .update(
          JSON.stringify([
            row.seq,
            row.id,
            row.workspace_id,
            row.principal,
            row.action,
            row.entity,
            row.entity_id,
            row.details,
            row.created_at,
          ]),
        )
        .digest();
      expect(Buffer.from(row.hash).toString('hex'), `audit ${row.seq}`).toBe(Buffer.from(hash).toString('hex'));
    }
    const [chain] = await app.sql<{ last_hash: Uint8Array }[]>`select last_hash from sequencer where chain = 'audit'`;
    expect(Buffer.from(chain?.last_hash ?? []).equals(Buffer.from(hash))).toBe(true);
  });
});

test('a stream that ends leaves no listener behind', async () => {
  const workspace = await app.workspace();
  let listeners = 0;
  const { hub } = app.deps;
  const on = hub.on.bind(hub);
  hub.on = (signal, listener) => {
    listeners += 1;
    const off = on(signal, listener);
    return () => {
      listeners -= 1;
      off();
    };
  };
  try {
    for (let round = 0; round < 5; round++) {
      await app.sequence();
      const before = await newest();
      await workspace.tasks(2);
      await app.sequence();
      const response = await app.open(`/api/v1/events?last_event_id=${before}`, { token: workspace.token });
      const reader = response.body?.getReader();
      // Goes away in the middle of a replay.
      await reader?.read();
      await reader?.read();
      await reader?.cancel();
    }
    await until('all listeners are gone', () => listeners === 0, 5_000);
  } finally {
    hub.on = on;
  }
});
