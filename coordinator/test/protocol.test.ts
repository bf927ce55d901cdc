// Longer than most: the whole surface (every route, error, key and outage) shares its tokens.
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { text as readAll } from 'node:stream/consumers';

import {
  ErrorBody,
  listRoutes,
  permissionsByRole,
  PROTOCOL_VERSION,
  type Role,
  roleGrants,
  type Route,
  sleep,
} from '@flotilla/shared';
import { describe, expect, inject, onTestFinished, test } from 'vitest';

import { connect } from '../src/db/client.ts';
import { createDatabase } from '../src/db/database.ts';
import { createApp } from '../src/http/app.ts';
import { startHttp } from '../src/http/server.ts';
import { BASE_URL, testApp } from './lib/app.ts';

const app = await testApp();
const NOWHERE = 999_999_999;
const pathOf = (route: Route) => `/api/v1${route.path.replaceAll(/:[a-z_]+/g, String(NOWHERE))}`;
const queryOf = (route: Route) =>
  route.path.endsWith('/log') && route.method === 'POST' ? '?epoch=1&stream=stdout&offset=0' : '';

/** A token of every role, all in the first workspace. */
const tokens = async (): Promise<Record<Role, string>> => {
  const { admin } = app;
  const user = async (role: 'viewer' | 'operator') =>
    (await admin.api_tokens.create({ body: { name: `${role}-${Math.random()}`, role } })).token ?? '';
  const freshName = () => `scout-${Math.random().toString(36).slice(2)}`;
  const { token: join_token = '' } = await admin.join_tokens.create({ body: {} });
  const daemon = await admin.agents.register({ body: { join_token, agent: { name: freshName() } } });
  const poller = await admin.agents.register({ body: { name: freshName() } });
  const attemptOf = async ({ agent: { name }, agent_token = '' }: typeof daemon) => {
    await admin.tasks.create({ body: { title: 'for a token', assigned_to: name } });
    const [claimed] = (await app.client(agent_token).tasks.claim({ body: { slots: 1 } })).tasks;
    return claimed?.attempt_token ?? '';
  };
  return {
    admin: app.admin_token,
    viewer: await user('viewer'),
    operator: await user('operator'),
    agent: poller.agent_token ?? '',
    attempt: await attemptOf(daemon),
    polled_attempt: await attemptOf(poller),
  };
};

/** Sends a request whose answer may be an endless stream; reads it only when it is an error. */
const statusOf = async (
  method: string,
  path: string,
  token: string | null,
  body?: unknown,
): Promise<{ status: number; code: unknown }> => {
  const socket = new AbortController();
  const response = await app.app.request(`${BASE_URL}${path}`, {
    method,
    signal: socket.signal,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = response.ok ? '' : await response.text();
  socket.abort();
  await response.body?.cancel().catch(() => {});
  return { status: response.status, code: text === '' ? null : ErrorBody.parse(JSON.parse(text)).code };
};

describe('every route of the contract', () => {
  test('is mounted under both prefixes, and closed without a token', async () => {
    for (const [name, route] of listRoutes()) {
      for (const method of [route.method, ...(route.aliases ?? [])]) {
        for (const prefix of ['/api/v1', '/api']) {
          const path = pathOf(route).replace('/api/v1', prefix);
          const { status } = await statusOf(method, `${path}${queryOf(route)}`, null);
          expect([401, ...(route.permission === 'public' ? [400] : [])], `${method} ${prefix} ${name}`).toContain(
            status,
          );
        }
      }
    }
  });

  test('is open to exactly the roles whose permission it names', async () => {
    const all = await tokens();
    for (const [name, route] of listRoutes()) {
      if (route.permission === 'public') continue;
      for (const role of Object.keys(permissionsByRole) as Role[]) {
        const { status, code } = await statusOf(route.method, `${pathOf(route)}${queryOf(route)}`, all[role]);
        const what = `${role} at ${name}: ${status} ${String(code)}`;
        if (roleGrants(role, route.permission)) expect([401, 403, 426], what).not.toContain(status);
        else expect({ status, code }, what).toEqual({ status: 403, code: 'forbidden' });
        expect(status, what).toBeLessThan(500);
      }
    }
  });

  test('answers nonsense with an error of the client, never 500, and stores nothing', async () => {
    const all = await tokens();
    const count = async () =>
      (
        await app.sql`select (select count(*) from tasks) + (select count(*) from agents) + (select count(*) from api_tokens) as n`
      )[0]?.n as unknown;
    const before = await count();
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const nasty = `'"; drop table tasks; --<script>\u0000\ud800`;
    const bodies: unknown[] = [
      '{',
      deep,
      '[]',
      '"x"',
      '17',
      'null',
      'true',
      '\u0000',
      { a: 1 },
      { epoch: -1 },
      { epoch: 1.5 },
      { epoch: 2 ** 60 },
    ];
    const values = [nasty, -1, 2 ** 53, 1e308, true, null, [], {}, [nasty], { [nasty]: nasty }];
    for (const [name, route] of listRoutes()) {
      if (route.body === undefined || typeof route.body === 'string') continue;
      const token = roleGrants('agent', route.permission as never) ? all.agent : all.admin; // public routes are nobody's
      const fields = Object.keys((route.body as { shape?: object }).shape ?? { join_token: 0, agent: 0, name: 0 });
      const spoiled = values.map((value) => Object.fromEntries(fields.map((field) => [field, value])));
      for (const body of [...bodies, ...spoiled]) {
        const { status, code } = await statusOf(route.method, pathOf(route), token, body);
        expect(
          [400, 401, 404, 413, 422],
          `${name}: ${JSON.stringify(body).slice(0, 80)} → ${status} ${String(code)}`,
        ).toContain(status);
      }
    }
    expect(await count()).toBe(before);
  });

  test('takes ids of any shape without a 500', async () => {
    for (const id of ['0', '-1', '1.5', 'abc', '99999999999999999999', '%00', '1%27', '9007199254740991']) {
      for (const path of [`/tasks/${id}`, `/agents/${id}`, `/tasks/${id}/log`, `/tasks/${id}/attempts`]) {
        const { status } = await statusOf('GET', `/api/v1${path}`, app.admin_token);
        expect([400, 404], `${path} → ${status}`).toContain(status);
      }
    }
  });
});

describe('errors', () => {
  test('have a sentence, a code, the request’s id, and a hint where one helps', async () => {
    const missing = await app.request('GET', '/api/v1/nothing-here', { token: app.admin_token });
    expect(missing).toMatchObject({ status: 404, body: { code: 'not_found', hint: expect.any(String) as string } });
    const answers = [
      missing,
      await app.request('GET', '/nothing/at/all'),
      await app.request('GET', '/api/v1/tasks'),
      await app.request('GET', '/api/v1/tasks', { token: 'flu_wrong' }),
      await app.request('GET', '/api/v1/tasks', { headers: { authorization: 'Basic abc' } }),
      await app.request('POST', '/api/v1/tasks', { token: app.admin_token, body: '{"title":' }),
      await app.request('GET', '/api/v1/tasks/999', { token: app.admin_token }),
    ];
    for (const { body, headers, status } of answers) {
      expect(ErrorBody.parse(body)).toMatchObject({ error: expect.stringMatching(/\w+.*[.\w]$/) as string });
      expect(headers.get('x-request-id')).toBe(body.request_id);
      if (status === 401) expect(headers.get('www-authenticate')).toContain('Bearer');
    }
    expect(new Set(answers.map(({ body }) => body.request_id)).size).toBe(answers.length);
    expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
      [404, 'not_found'],
      [404, 'not_found'],
      [401, 'unauthenticated'],
      [401, 'unauthenticated'],
      [401, 'unauthenticated'],
      [400, 'not_json'],
      [404, 'not_found'],
    ]);
  });

  test('of too large a body are 413', async () => {
    const answer = await app.request('POST', '/api/v1/tasks', {
      token: app.admin_token,
      body: { title: 'x', description: 'x'.repeat(5_000_000) },
    });
    expect(answer).toMatchObject({
      status: 413,
      body: { code: 'body_too_large', details: { max_bytes: expect.any(Number) as number } },
    });
  });

  test('of too large a body reach a client that sends all of it first, on a connection that closes', async () => {
    const config = { ...app.deps.config, FLOTILLA_HOST: '127.0.0.1', FLOTILLA_PORT: 0 };
    const server = await startHttp({ ...app.deps, config });
    onTestFinished(() => server.close());
    const { hostname, port } = new URL(server.url);
    const body = JSON.stringify({ title: 'x', description: 'x'.repeat(8_000_000) });
    const head = `POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${app.admin_token}\r\nConnection: close\r\n`;
    for (const [framing, last] of [
      [`Content-Length: ${body.length}\r\n\r\n`, ''],
      [`Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n`, '\r\n0\r\n\r\n'],
    ]) {
      const socket = createConnection(Number(port), hostname);
      socket.on('error', () => {}); // the write that it hit rejects
      const pieces = [`${head}${framing}`, ...(body.match(/.{1,100000}/g) ?? []), last ?? ''];
      for (const piece of pieces)
        await new Promise<void>((resolve, reject) => {
          socket.write(piece, (error) => (error == null ? resolve() : reject(error)));
        });
      expect(await readAll(socket)).toMatch(/^HTTP\/1.1 413 /);
    }
  });
});

test('a body is read whole however it is cut on its way, and so is the next request of its connection', async () => {
  const config = { ...app.deps.config, FLOTILLA_HOST: '127.0.0.1', FLOTILLA_PORT: 0 };
  const server = await startHttp({ ...app.deps, config });
  onTestFinished(() => server.close());
  const { hostname, port } = new URL(server.url);
  const bytesOf = (title: string, length: 'declared' | 'chunked', more = '') => {
    const body = JSON.stringify({ title, description: 'ü'.repeat(2000) });
    const size = Buffer.byteLength(body);
    const head = `POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${app.admin_token}\r\n${more}`;
    return length === 'declared'
      ? Buffer.from(`${head}Content-Length: ${size}\r\n\r\n${body}`)
      : Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
  };
  const ask = async (pieces: Buffer[]) => {
    const socket = createConnection({ port: Number(port), host: hostname, noDelay: true });
    for (const piece of pieces) {
      await new Promise((resolve) => socket.write(piece, resolve));
      await sleep(5, new AbortController().signal);
    }
    return readAll(socket);
  };
  for (const length of ['declared', 'chunked'] as const) {
    const first = bytesOf('the first', length);
    const last = bytesOf('the last', length, 'Connection: close\r\n');
    const body_at = first.indexOf('\r\n\r\n') + 4;
    for (const cuts of [[], [10], [body_at], [body_at + 1], [body_at, body_at + 2000], [first.length - 1]]) {
      const edges = [0, ...cuts, first.length];
      const pieces = edges.slice(1).map((to, index) => first.subarray(edges[index], to));
      const answers = await ask(cuts.length === 0 ? [Buffer.concat([first, last])] : [...pieces, last]);
      expect(answers.match(/HTTP\/1.1 \d+|"title":"[^"]*"/g)).toEqual([
        'HTTP/1.1 201',
        '"title":"the first"',
        'HTTP/1.1 201',
        '"title":"the last"',
      ]);
    }
  }
});

describe('versions', () => {
  test('another protocol version is 426, before anything else', async () => {
    for (const spoken of [String(PROTOCOL_VERSION + 1), String(PROTOCOL_VERSION - 2), '0', 'x', '-1']) {
      const answer = await app.request('POST', '/api/v1/tasks/claim', {
        token: 'flu_wrong',
        headers: { 'flotilla-protocol': spoken },
        body: {},
      });
      expect(answer, spoken).toMatchObject({
        status: 426,
        body: { code: 'protocol_unsupported', hint: expect.any(String) as string },
      });
    }
  });

  test('unknown fields of agents are counted and ignored, those of people are refused', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const counted = async () => {
      const { values } = await app.deps.metrics.unknown_fields.get();
      return values.find(({ labels }) => labels.route === '/tasks/claim')?.value ?? 0;
    };
    const before = await counted();
    const answer = await app.request('POST', '/api/v1/tasks/claim', {
      token: agent.token,
      body: { slots: 1, gpu_heat: 70, mood: 'fine' },
    });
    expect(answer).toMatchObject({ status: 200, body: { tasks: [] } });
    expect((await counted()) - before).toBe(2);
    expect(
      await app.request('POST', '/api/v1/tasks', { token: workspace.token, body: { title: 't', mood: 'fine' } }),
    ).toMatchObject({
      status: 400,
      body: { code: 'invalid_input', error: expect.stringContaining('mood') as string },
    });
  });
});

describe('Idempotency-Key', () => {
  const create = (token: string, key: string, body: object, path = '/api/v1/tasks') =>
    app.request('POST', path, { token, body, headers: { 'idempotency-key': key } });

  test('answers a repeated creation as before; another body or route is refused', async () => {
    const workspace = await app.workspace();
    const first = await create(workspace.token, 'k1', { title: 'once' });
    expect(first.status).toBe(201);
    expect(await create(workspace.token, 'k1', { title: 'once' })).toMatchObject({ status: 201, body: first.body });
    expect(await create(workspace.token, 'k1', { title: 'twice' })).toMatchObject({
      status: 422,
      body: { code: 'idempotency_mismatch' },
    });
    expect(await create(workspace.token, 'k1', {}, '/api/v1/join_tokens')).toMatchObject({ status: 422 });
    expect(await create(workspace.token, 'a key', { title: 'x' })).toMatchObject({ status: 400 });
    expect((await workspace.admin.tasks.list()).tasks).toHaveLength(1);
    // The key is the caller's: another one's means something else.
    const other = await app.workspace();
    expect((await create(other.token, 'k1', { title: 'mine' })).status).toBe(201);
  });

  test('is not used up by a creation that failed', async () => {
    const workspace = await app.workspace();
    const name = { name: 'ci', role: 'viewer' };
    await workspace.admin.api_tokens.create({ body: { name: 'ci', role: 'viewer' } });
    expect((await create(workspace.token, 'k2', name, '/api/v1/api_tokens')).status).toBe(409);
    const [taken] = (await workspace.admin.api_tokens.list()).api_tokens;
    await workspace.admin.api_tokens.revoke({ params: { id: taken?.id ?? 0 } });
    expect((await create(workspace.token, 'k2', name, '/api/v1/api_tokens')).status).toBe(201);
  });

  test('never repeats a secret', async () => {
    const workspace = await app.workspace();
    for (const [path, body] of [
      ['/api/v1/api_tokens', { name: 'ci', role: 'viewer' }],
      ['/api/v1/join_tokens', {}],
    ] as const) {
      const first = await create(workspace.token, `secret-${path}`, body, path);
      const again = await create(workspace.token, `secret-${path}`, body, path);
      const { token, ...rest } = first.body;
      expect(token).toMatch(/^fl[uj]_/);
      expect(again).toMatchObject({ status: 201, body: rest });
      expect(again.body).not.toHaveProperty('token');
    }
  });

  test('of 60 concurrent creations makes one, also when they take every connection', async () => {
    const workspace = await app.workspace();
    const answers = await Promise.all(
      Array.from({ length: 60 }, () => create(workspace.token, 'k3', { title: 'once' })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect((await workspace.admin.tasks.list()).tasks).toHaveLength(1);
  });
});

describe('trouble with the database', () => {
  test('is 503 with Retry-After, whoever asks for what', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const { user, port } = inject('postgres');
    const dead = connect(
      { host: `${tmpdir()}/no-such-socket-directory`, port, user, database: 'flotilla' },
      { max: 2, name: 'dead' },
    );
    try {
      const down = createApp({ ...app.deps, db: createDatabase(dead) }, new AbortController().signal);
      const ask = async (method: string, path: string, token: string, body?: object) => {
        const response = await down.request(`${BASE_URL}${path}`, {
          method,
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        return {
          status: response.status,
          retry: response.headers.get('retry-after'),
          body: ErrorBody.parse(await response.json()),
        };
      };
      for (const answer of [
        await ask('GET', '/api/v1/tasks', 'flu_unknown'),
        await ask('GET', '/api/v1/tasks', workspace.token),
        await ask('POST', '/api/v1/tasks', workspace.token, { title: 'x' }),
        await ask('POST', '/api/v1/tasks/1/complete', agent.token, { epoch: 1, resolution: 'x' }),
        await ask('GET', '/readyz', ''),
      ]) {
        expect(answer).toMatchObject({ status: 503, retry: '1', body: { code: 'unavailable' } });
      }
      expect((await down.request(`${BASE_URL}/healthz`)).status).toBe(200);
    } finally {
      await dead.end({ timeout: 1 });
    }
  });

  // Fails with postgres.js 3.4.9: a transaction whose connection dies writes to a null socket outside of any promise
  // (porsager/postgres #1154, #1208). In production that ends the process, and some requests never get an answer.
  test.runIf(process.env.FLOTILLA_TEST_DRIVER === '1')(
    'in the middle of requests is 503 or success, never 500, and heals by itself',
    async () => {
      const workspace = await app.workspace();
      const create = () => app.request('POST', '/api/v1/tasks', { token: workspace.token, body: { title: 't' } });
      const statuses = new Set<number>();
      for (let round = 0; round < 5; round++) {
        const asking = Array.from({ length: 20 }, create);
        await app.sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`.catch(
          () => {},
        );
        for (const { status } of await Promise.all(asking)) statuses.add(status);
      }
      for (const status of statuses) expect([201, 503]).toContain(status);
      expect((await create()).status).toBe(201);
      const { tasks } = await workspace.admin.tasks.list({ query: { limit: 500 } });
      expect(tasks.length).toBeGreaterThan(0);
    },
  );
});

test('operators find liveness, readiness and metrics', async () => {
  await app.workspace();
  expect(await app.request('GET', '/healthz')).toMatchObject({ status: 200, body: { ok: true } });
  expect(await app.request('GET', '/readyz')).toMatchObject({ status: 200, body: { ready: true } });
  const metrics = await app.request('GET', '/metrics');
  expect(metrics.text).toContain('flotilla_http_request_seconds_count{route="POST /workspaces",status="201"}');
  expect(metrics.text).toMatch(/^flotilla_tasks\{status="inbox"\} \d+$/m);
});
