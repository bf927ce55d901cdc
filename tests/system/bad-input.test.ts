// Longer than most: one table of bad requests, run over every route of the contract.
import { listRoutes, type Role, roleGrants, type Route } from '@flotilla/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { clientFor, createFleet, type Fleet } from '../lib/fleet.ts';
import { openDatabase } from '../lib/invariants.ts';
import { type RawAnswer, type RawRequest, sendRaw } from '../lib/raw.ts';
import { accepts, fieldsOf, sample, sampleRequest } from '../lib/sample.ts';
import { createTenant, type Tenant } from '../lib/tenants.ts';

const LONG_LEASES = { FLOTILLA_LEASE_MS: '600000' };

let fleet: Fleet;
let tenant: Tenant;

beforeAll(async () => {
  fleet = await createFleet(LONG_LEASES);
  tenant = await createTenant(fleet.coordinator.url, null);
});
afterAll(async () => {
  await fleet.audit();
  await fleet.close();
}, 60_000);

const routes = listRoutes();
const withBody = routes.filter(([, { body }]) => body !== undefined);
const withJson = withBody.filter(([, { body }]) => typeof body !== 'string');
const ABSENT = 2 ** 40;

/** A token that may call the route, so that nothing but the input is wrong. */
const tokenFor = ({ permission }: Route): string => {
  const candidates = ['admin', 'agent'] as const satisfies Role[];
  const role = candidates.find((candidate) => permission === 'public' || roleGrants(candidate, permission));
  if (role === undefined) throw new Error(`nobody has ${permission}`);
  return tenant.tokens[role];
};

const send = (route: Route, request: Partial<RawRequest>, id: number | string = ABSENT): Promise<RawAnswer> =>
  sendRaw(fleet.coordinator.url, { ...sampleRequest(route, id), token: tokenFor(route), ...request });

/** An error of ours with the right status, and the field's name in it. */
const expectRefusal = (
  answer: RawAnswer,
  { field, statuses = [400, 413, 422] }: { field?: string; statuses?: number[] } = {},
) => {
  expect(statuses, `${answer.status} ${answer.text.slice(0, 300)}`).toContain(answer.status);
  expect(typeof answer.json.code).toBe('string');
  expect(typeof answer.json.request_id).toBe('string');
  if (field !== undefined)
    expect.soft(String(answer.json.error) + JSON.stringify(answer.json.details)).toContain(field);
};

/** Everything that is stored, but for what a look itself writes (the last use of a token). */
const countRows = async (): Promise<Record<string, number>> => {
  const sql = openDatabase(fleet.coordinator);
  try {
    const tables = [
      'tasks',
      'attempts',
      'agents',
      'agent_tokens',
      'agent_beats',
      'api_tokens',
      'join_tokens',
      'workspaces',
      'events',
      'audit_events',
      'idempotency_keys',
      'attempt_usage',
      'attempt_logs',
      'leases',
    ];
    const rows = await sql.unsafe(
      tables.map((table) => `select '${table}' as name, count(*)::int as count from ${table}`).join(' union all '),
    );
    return Object.fromEntries(rows.map(({ name, count }) => [String(name), Number(count)]));
  } finally {
    await sql.end({ timeout: 1 });
  }
};

const WRONG_TYPES: unknown[] = [
  { an: 'object' },
  ['an array'],
  'a string where none belongs \u0001',
  12.5,
  -1,
  true,
  null,
  '',
  1e308,
];

describe('R27: a body that is no valid request', () => {
  it.each(withJson)('%s', async (_operation, route) => {
    const before = await countRows();
    for (const body of ['{', 'nonsense', '{"a":1}}', '"\\ud800', '\u0000', '[1,2', '{"a":undefined}'])
      expectRefusal(await send(route, { body }), { statuses: [400] });
    for (const body of ['[]', '"text"', '12', 'true', 'null'])
      expectRefusal(await send(route, { body }), { statuses: [400] });
    expectRefusal(await send(route, { body: new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]) }), {
      statuses: [400],
    });
    expectRefusal(await send(route, { body: '['.repeat(100_000) }), { statuses: [400] });
    expectRefusal(await send(route, { body: `${'['.repeat(100_000)}${']'.repeat(100_000)}` }), { statuses: [400] });
    expectRefusal(await send(route, { body: `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}` }), {
      statuses: [400],
    });
    expectRefusal(await send(route, { body: JSON.stringify({ filler: 'x'.repeat(5_000_000) }) }), { statuses: [413] });
    // Without a content-length, the size is only known while it is read.
    expectRefusal(
      await send(route, {
        body: `"${'x'.repeat(5_000_000)}"`,
        chunked: true,
      }),
      { statuses: [413] },
    );
    // The key of a refused creation must stay usable.
    if (route.creates === true)
      expectRefusal(await send(route, { body: '{', headers: { 'idempotency-key': 'refused' } }));
    expect(await countRows()).toEqual(before);
  });
});

describe('R27: fields of a wrong type', () => {
  it.each(withJson)('%s', async (_operation, route) => {
    const fields = Object.entries(fieldsOf(route.body) ?? {});
    const valid = sample(route.body) as Record<string, unknown>; // a sample of an object is one
    const before = await countRows();
    for (const [name, schema] of fields) {
      for (const wrong of WRONG_TYPES) {
        if (accepts(schema, wrong)) continue;
        const answer = await send(route, { body: JSON.stringify({ ...valid, [name]: wrong }) });
        expectRefusal(answer, { field: name, statuses: [400, 422] });
      }
    }
    const unknown = await send(route, { body: JSON.stringify({ ...valid, surely_unknown: 1 }) });
    if (route.audience === 'person') expectRefusal(unknown, { field: 'surely_unknown', statuses: [400, 422] });
    else if (route.permission !== 'public') expect(unknown.status).not.toBe(400);
    if (route.audience === 'person') expect(await countRows()).toEqual(before);
  });
});

const HOSTILE = {
  sql: `'; drop table tasks; --`,
  sql_escape: String.raw`\'; select pg_sleep(10); -- $1 %s {0}`,
  html: '<script>alert(1)</script><img src=x onerror=alert(1)>',
  unicode: 'ﷺ‮ 💥 ́',
  control: '\u0001\u001b[31m\r\n\t\u007f',
  template: '${process.exit(1)} {{7*7}} ../../../etc/passwd',
};

describe('R27: hostile strings in every field', () => {
  it.each(withJson)('%s', async (_operation, route) => {
    const id = route.path.startsWith('/tasks') ? tenant.task.queued : ABSENT;
    const fields = Object.entries(fieldsOf(route.body) ?? {});
    const valid = sample(route.body) as Record<string, unknown>; // a sample of an object is one
    for (const [name] of fields) {
      for (const text of Object.values(HOSTILE)) {
        for (const value of [text, [text], { [text.slice(0, 90)]: text }]) {
          const answer = await send(route, { body: JSON.stringify({ ...valid, [name]: value }) }, id);
          expect(answer.status, `${name}: ${answer.text.slice(0, 300)}`).toBeLessThan(500);
          if (answer.status === 400) expectRefusal(answer, { field: name });
        }
      }
      // NUL and lone surrogates are valid JSON that Postgres cannot hold: refused by name, never half stored.
      for (const text of [
        String.raw`"a\u0000b"`,
        String.raw`"a\ud800b"`,
        String.raw`{"key":"a\u0000b"}`,
        String.raw`{"key\ud800":["a\udfff"]}`,
      ]) {
        const body = JSON.stringify({ ...valid, [name]: 0 }).replace(`"${name}":0`, `"${name}":${text}`);
        const answer = await send(route, { body }, id);
        expect(answer.status, `${name} ${text}: ${answer.text.slice(0, 300)}`).toBeLessThan(500);
        if (answer.status === 400) expectRefusal(answer, { field: name });
      }
    }
  });

  it('what is accepted is stored and given back to the letter', async () => {
    for (const text of Object.values(HOSTILE)) {
      const body = { title: text, description: text, metadata: { [text.slice(0, 90)]: [text] }, model: text };
      const task = await tenant.client.tasks.create({ body });
      expect(await tenant.client.tasks.get({ params: { id: task.id } })).toMatchObject(body);
    }
    expect((await tenant.client.tasks.list()).tasks.length).toBeGreaterThan(5);
  });

  it('a result is stored to the letter too', async () => {
    const mark = 'letter';
    const { token = '' } = await tenant.client.join_tokens.create({ body: { tags: [mark] } });
    const { agent_token = null } = await tenant.client.agents.register({
      body: { join_token: token, agent: { name: mark, slots: 9 } },
    });
    const agent = clientFor(fleet.coordinator.url, agent_token);
    for (const text of Object.values(HOSTILE)) {
      const { id } = await tenant.client.tasks.create({
        body: { title: 'x', required_tags: [mark], priority: 'critical' },
      });
      const claimed = await agent.tasks.claim({ body: { slots: 9 } });
      const task = claimed.tasks.find((one) => one.id === id);
      await agent.tasks.complete({
        params: { id },
        body: { epoch: task?.epoch ?? 0, resolution: text, result: { text } },
      });
      expect(await tenant.client.tasks.get({ params: { id } })).toMatchObject({
        status: 'done',
        resolution: text,
        result: { text },
      });
    }
  });
});

describe('R27: ids, queries and headers', () => {
  const ids = [
    '-1',
    '0',
    'abc',
    '1.5',
    'NaN',
    '%00',
    '%27%3B--',
    '9007199254740993',
    '99999999999999999999',
    '%F0%9F%92%A5',
    '..%2f..%2fetc',
    'null',
  ];

  it.each(routes.filter(([, { path }]) => path.includes(':id')))('%s with strange ids', async (_operation, route) => {
    for (const id of ids) {
      const answer = await send(route, {}, id);
      expect([400, 404], `${id}: ${answer.status} ${answer.text.slice(0, 200)}`).toContain(answer.status);
    }
  });

  it('an id is its digits and nothing that a parser may take for them', async () => {
    const [, get] = routes.find(([operation]) => operation === 'tasks.get') ?? [];
    if (get === undefined) throw new Error('the contract has no tasks.get');
    const id = tenant.task.queued;
    expect((await send(get, {}, id)).status).toBe(200);
    for (const alias of [`0x${id.toString(16)}`, `0b${id.toString(2)}`, `${id}e0`, `%20${id}`, `${id}.0`, `+${id}`]) {
      expect.soft([400, 404], alias).toContain((await send(get, {}, alias)).status);
    }
  });

  it.each(routes.filter(([, { query }]) => query !== undefined))(
    '%s with strange queries',
    async (_operation, route) => {
      const { path } = sampleRequest(route, ABSENT);
      const names = Object.keys(fieldsOf(route.query) ?? {});
      for (const name of names) {
        for (const value of [
          '',
          '-1',
          'abc',
          '%00',
          '%ED%A0%80',
          '99999999999999999999',
          '1e400',
          `'`,
          'x'.repeat(5000),
          '[]',
          'done,nonsense',
        ]) {
          const url = new URL(path, 'http://x');
          const query = [...url.searchParams]
            .filter(([key]) => key !== name)
            .map(([key, given]) => `${key}=${encodeURIComponent(given)}`);
          const answer = await send(route, { path: `${url.pathname}?${[...query, `${name}=${value}`].join('&')}` });
          expect(answer.status, `${name}=${value}: ${answer.text.slice(0, 300)}`).toBeLessThan(500);
          if (answer.status === 400) expectRefusal(answer, { field: name });
        }
      }
      if (route.audience === 'person')
        expectRefusal(await send(route, { path: `${path}${path.includes('?') ? '&' : '?'}surely_unknown=1` }), {
          field: 'surely_unknown',
        });
    },
  );

  it('headers', async () => {
    const [, patch] = routes.find(([operation]) => operation === 'tasks.patch') ?? [];
    const [, create] = routes.find(([operation]) => operation === 'tasks.create') ?? [];
    if (patch === undefined || create === undefined) throw new Error('the contract has no tasks.patch');
    const strange = ['"abc"', '-1', '99999999999999999999', '1, 2', 'W/"x"'];
    for (const value of strange)
      expectRefusal(
        await send(patch, { headers: { 'if-match': value }, body: '{"priority":"low"}' }, tenant.task.queued),
        { field: 'If-Match', statuses: [400, 412] },
      );
    for (const value of ['', ' ', 'x'.repeat(500), 'ü']) {
      const answer = await send(create, { headers: { 'idempotency-key': value } });
      expect(answer.status).toBeLessThan(500);
    }
    for (const value of ['0', '99', 'x', '-1', '1.5'])
      expect(await send(create, { headers: { 'flotilla-protocol': value } })).toMatchObject({ status: 426 });
    for (const value of ['Bearer', 'Basic abc', `Bearer ${'x'.repeat(9000)}`, 'Bearer a b', 'Bearer \u0080'])
      expect((await send(create, { token: null, headers: { authorization: value } })).status).toBe(401);
  });

  it('log bytes may be anything, at most 1 MiB at a time', async () => {
    const agent = clientFor(fleet.coordinator.url, tenant.tokens.agent);
    const params = { id: tenant.task.running };
    const { epoch } = tenant.task;
    const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256);
    expect(await agent.tasks.log({ params, query: { epoch, stream: 'stdout', offset: 0 }, body: bytes })).toEqual({
      next_offset: 70_000,
    });
    // An overlap is ignored, a gap says where to go on.
    expect(
      await agent.tasks.log({ params, query: { epoch, stream: 'stdout', offset: 10 }, body: bytes.subarray(10) }),
    ).toEqual({ next_offset: 70_000 });
    await expect(
      agent.tasks.log({ params, query: { epoch, stream: 'stdout', offset: 80_000 }, body: bytes }),
    ).rejects.toMatchObject({ status: 409, code: 'log_gap', details: { wanted_offset: 70_000 } });
    await expect(
      agent.tasks.log({ params, query: { epoch, stream: 'stdout', offset: 70_000 }, body: new Uint8Array(1_048_577) }),
    ).rejects.toMatchObject({ status: 413 });
    const stored = await tenant.client.tasks.readLog({ params, query: { stream: 'stdout' } });
    expect(Buffer.compare(Buffer.from(await stored.arrayBuffer()), Buffer.from(bytes))).toBe(0);
  });
});
