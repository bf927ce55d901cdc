import { listRoutes, type Role, roleGrants, type Route } from '@flotilla/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { clientFor, createFleet, type Fleet } from '../lib/fleet.ts';
import { sendRaw } from '../lib/raw.ts';
import { sampleRequest } from '../lib/sample.ts';
import { createTenant, roles, type Tenant } from '../lib/tenants.ts';
import { until } from '../lib/until.ts';

// Nobody renews the claims made here; they must outlive the file.
const LONG_LEASES = { FLOTILLA_LEASE_MS: '600000' };
const ABSENT = 2 ** 40;

let fleet: Fleet;
let ours: Tenant;
let theirs: Tenant;

beforeAll(async () => {
  fleet = await createFleet(LONG_LEASES);
  ours = await createTenant(fleet.coordinator.url, null);
  theirs = await createTenant(fleet.coordinator.url, 'other');
});
afterAll(async () => {
  await fleet.audit();
  await fleet.close();
}, 60_000);

const routes = listRoutes();
const withId = routes.filter(([, route]) => route.path.includes(':id'));
const idIn = (tenant: Tenant, route: Route): number => {
  const id = tenant.ids[route.path.split('/')[1] ?? ''];
  if (id === undefined) throw new Error(`${route.path}: teach tenants.ts what its :id is`);
  return id;
};
const tokenOf = (tenant: Tenant, role: Role) => tenant.tokens[role];
const rolesFor = ({ permission }: Route) =>
  roles.filter((role) => permission !== 'public' && roleGrants(role, permission));

describe('R21: an id of another workspace does not exist', () => {
  it.each(withId)('%s', async (_operation, route) => {
    const before = await theirs.client.tasks.get({ params: { id: theirs.task.running } });
    const request = sampleRequest(route, idIn(theirs, route));
    expect(rolesFor(route)).not.toEqual([]);
    for (const role of rolesFor(route)) {
      for (const method of [route.method, ...(route.aliases ?? [])]) {
        const answer = await sendRaw(fleet.coordinator.url, { ...request, method, token: tokenOf(ours, role) });
        expect({ role, method, status: answer.status, code: answer.json.code }).toEqual({
          role,
          method,
          status: 404,
          code: 'not_found',
        });
      }
    }
    expect(await theirs.client.tasks.get({ params: { id: theirs.task.running } })).toEqual(before);
  });

  it('no list, status or stream shows anything of it', async () => {
    const open = routes.filter(
      // Not the GETs that claim.
      ([, { method, path, permission }]) =>
        method === 'GET' && !path.includes(':id') && permission !== 'agent:run' && permission !== 'queue:poll',
    );
    expect(open.length).toBeGreaterThan(5);
    for (const [operation, route] of open) {
      if (route.output === 'event-stream') continue;
      const { path } = sampleRequest(route, 0);
      for (const role of rolesFor(route)) {
        const answer = await sendRaw(fleet.coordinator.url, { method: 'GET', path, token: tokenOf(ours, role) });
        expect({ operation, role, status: answer.status }).toEqual({ operation, role, status: 200 });
        // The first workspace's admin rules over workspaces and may see their names.
        if (route.permission !== 'workspaces:admin') expect(answer.text).not.toContain(theirs.mark);
      }
    }
  });

  it('the event stream carries none of its events', async () => {
    const stop = new AbortController();
    const response = await ours.client.events.stream({ query: { last_event_id: 0 } }, { signal: stop.signal });
    const marker = await ours.client.tasks.create({ body: { title: 'the last event of this stream' } });
    let text = '';
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) text += decoder.decode(chunk as Uint8Array, { stream: true });
    })().catch(() => {});
    const events = () =>
      [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '{}']) => JSON.parse(data) as Record<string, unknown>);
    await until('our own event', () => events().some((e) => e.type === 'task.created' && e.entity_id === marker.id));
    stop.abort();
    await reading;
    const [first] = events();
    expect(new Set(events().map((event) => event.workspace_id))).toEqual(new Set([first?.workspace_id]));
    expect(events().length).toBeGreaterThan(2);
    expect(text).not.toContain(theirs.mark);
  });

  it('a beat that names a foreign attempt is told "lost" and renews nothing', async () => {
    const lease = () => theirs.client.tasks.get({ params: { id: theirs.task.running } });
    const before = await lease();
    const attempt = { task_id: theirs.task.running, epoch: theirs.task.epoch, phase: 'running' };
    const beat = { instance_id: 'spy', seq: 1, attempts: [attempt] };
    const agent = clientFor(fleet.coordinator.url, ours.tokens.agent);
    const answer = await agent.agents.heartbeat({ params: { id: ours.ids.agents ?? 0 }, body: beat });
    expect(answer.attempts).toEqual([
      { task_id: attempt.task_id, epoch: attempt.epoch, verdict: 'lost', lease_ms: null },
    ]);
    expect((await lease()).lease_expires_at).toBe(before.lease_expires_at);
  });

  it('our task with their attempt is 404 too, and their agent cannot be assigned', async () => {
    const query = { attempt: theirs.task.attempt_id };
    await expect(ours.client.tasks.readLog({ params: { id: ours.task.running }, query })).rejects.toMatchObject({
      status: 404,
    });
    const { id } = await ours.client.tasks.create({ body: { title: 'for a foreign agent' } });
    const assigned = await ours.client.tasks.assign({ params: { id }, body: { assigned_to: theirs.mark } });
    expect(assigned).toMatchObject({ assigned_agent_id: null, waiting_for: { code: 'unknown_agent' } });
    const reports = { epoch: theirs.task.epoch, resolution: 'stolen' };
    const spy = clientFor(fleet.coordinator.url, ours.tokens.agent);
    await expect(spy.tasks.complete({ params: { id: ours.task.running }, body: reports })).rejects.toMatchObject({
      status: 404,
    });
  });
});

describe('R21: the role table', () => {
  const call = (route: Route, token: string | null) =>
    sendRaw(fleet.coordinator.url, { ...sampleRequest(route, ABSENT), token });

  it.each(routes.filter(([, route]) => route.permission !== 'public'))('%s', async (operation, route) => {
    for (const [who, token] of [
      ['nobody', null],
      ['a wrong token', 'flu_wrong'],
      ['an empty token', ''],
    ] as const) {
      const { status, json } = await call(route, token);
      expect({ operation, who, status, code: json.code }).toEqual({
        operation,
        who,
        status: 401,
        code: 'unauthenticated',
      });
    }
    for (const role of roles) {
      const { status, json } = await call(route, tokenOf(ours, role));
      if (rolesFor(route).includes(role)) {
        expect([401, 403], `${role} may ${operation}, and got ${status} ${JSON.stringify(json)}`).not.toContain(status);
        expect(status).toBeLessThan(500);
      } else
        expect({ operation, role, status, code: json.code }).toEqual({
          operation,
          role,
          status: 403,
          code: 'forbidden',
        });
    }
  });

  it('registering without a join token needs a role that operates agents', async () => {
    const body = JSON.stringify({ name: 'by-user' });
    const answers = { viewer: 403, agent: 403, attempt: 403, polled_attempt: 403, operator: 201, admin: 200 } as Record<
      Role,
      number
    >;
    for (const role of roles) {
      const answer = await sendRaw(fleet.coordinator.url, {
        method: 'POST',
        path: '/agents/register',
        token: tokenOf(ours, role),
        body,
      });
      const status = answers[role];
      // The same name again is the same agent, whatever 2xx says so.
      if (status < 300) expect([200, 201]).toContain(answer.status);
      else expect({ role, status: answer.status }).toEqual({ role, status });
    }
    expect(await sendRaw(fleet.coordinator.url, { method: 'POST', path: '/agents/register', body })).toMatchObject({
      status: 401,
    });
  });

  it('an admin of another workspace rules over no workspace', async () => {
    await expect(theirs.client.workspaces.create({ body: { slug: 'third' } })).rejects.toMatchObject({ status: 403 });
    const { workspaces } = await theirs.client.workspaces.list().catch(() => ({ workspaces: [] }));
    expect(workspaces.filter(({ slug }) => slug !== 'other')).toEqual([]);
  });

  it('an attempt token reads its own task alone and dies with its epoch', async () => {
    const attempt = clientFor(fleet.coordinator.url, ours.tokens.attempt);
    expect(await attempt.tasks.get({ params: { id: ours.task.running } })).toMatchObject({ id: ours.task.running });
    await expect(attempt.tasks.get({ params: { id: ours.task.queued } })).rejects.toMatchObject({ status: 404 });
    const { tasks } = await attempt.tasks.list({ query: {} });
    expect(tasks.map(({ id }) => id)).toEqual([ours.task.running]);
    const agent = clientFor(fleet.coordinator.url, ours.tokens.agent);
    await agent.tasks.complete({
      params: { id: ours.task.running },
      body: { epoch: ours.task.epoch, resolution: 'over' },
    });
    await expect(attempt.tasks.get({ params: { id: ours.task.running } })).rejects.toMatchObject({ status: 401 });
  });

  it('R19: a revoked token works no longer, and a stream it opened is closed within 10 s', async () => {
    const { id, token = null } = await ours.client.api_tokens.create({
      body: { name: 'soon-revoked', role: 'viewer' },
    });
    const viewer = clientFor(fleet.coordinator.url, token);
    const response = await viewer.events.stream({ query: {} });
    const closed = (async () => {
      for await (const chunk of response.body ?? []) void chunk;
      return true;
    })().catch(() => true);
    await ours.client.api_tokens.revoke({ params: { id } });
    await expect(viewer.tasks.list()).rejects.toMatchObject({ status: 401 });
    const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 12_000).unref());
    expect(await Promise.race([closed, late])).toBe(true);
  });
});
