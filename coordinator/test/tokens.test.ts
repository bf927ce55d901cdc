import { createHash } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import { matchesPattern } from '../src/agents/name-pattern.ts';
import { createDatabase } from '../src/db/database.ts';
import { confirmBelieved } from '../src/tokens/believed.ts';
import { ensureFirstWorkspace } from '../src/workspaces/bootstrap.ts';
import { testApp } from './lib/app.ts';
import { freshName } from './lib/fleet.ts';

const app = await testApp();
const anonymous = app.client(null);
const sha256 = (secret: string) => createHash('sha256').update(secret).digest('hex');

describe('API tokens', () => {
  test('are made once, listed without their secret, and do what their role grants', async () => {
    const { admin } = await app.workspace();
    const made = await admin.api_tokens.create({ body: { name: 'ci', role: 'viewer' } });
    expect(made.token).toMatch(/^flu_.{50}$/);
    const { api_tokens } = await admin.api_tokens.list();
    expect(api_tokens.map(({ name }) => name)).toEqual(['ci', 'admin']);
    expect(JSON.stringify(api_tokens)).not.toContain(made.token);
    const viewer = app.client(made.token ?? '');
    expect(await viewer.workspaces.me()).toMatchObject({
      principal: { kind: 'api_token', name: 'ci', role: 'viewer' },
    });
    await expect(viewer.tasks.create({ body: { title: 'no' } })).rejects.toMatchObject({
      status: 403,
      code: 'forbidden',
    });
    await expect(viewer.api_tokens.list()).rejects.toMatchObject({ status: 403 });
    await expect(viewer.tasks.list()).resolves.toMatchObject({ tasks: [] });
  });

  test('end at once when revoked, although they were believed a moment ago', async () => {
    const { admin } = await app.workspace();
    const made = await admin.api_tokens.create({ body: { name: 'ci', role: 'operator' } });
    const client = app.client(made.token ?? '');
    await client.workspaces.me();
    await admin.api_tokens.revoke({ params: { id: made.id } });
    await expect(client.workspaces.me()).rejects.toMatchObject({ status: 401, code: 'unauthenticated' });
    // The name is free again, and the revoked one stays listed.
    await admin.api_tokens.create({ body: { name: 'ci', role: 'viewer' } });
    const { api_tokens } = await admin.api_tokens.list();
    expect(api_tokens.filter(({ name }) => name === 'ci').map(({ revoked_at }) => revoked_at === null)).toEqual([
      true,
      false,
    ]);
  });

  test('that are believed end soon after another coordinator revoked them, and are known to be in use', async () => {
    const { admin } = await app.workspace();
    const make = async (name: string) => {
      const { id, token = '' } = await admin.api_tokens.create({ body: { name, role: 'viewer' } });
      const client = app.client(token);
      await client.workspaces.me();
      return { id, client };
    };
    const [revoked, used] = [await make('revoked'), await make('used')];
    const lastUse = async () =>
      (await admin.api_tokens.list()).api_tokens.find(({ id }) => id === used.id)?.last_used_at;
    const first_use = await lastUse();
    await app.sql`update api_tokens set revoked_at = now() where id = ${revoked.id}`;
    await app.sql`update api_tokens set role = 'operator' where id = ${used.id}`;
    await app.shiftClock(61_000);
    await expect(used.client.workspaces.me()).resolves.toMatchObject({ principal: { role: 'viewer' } });
    await confirmBelieved(app.deps);
    await expect(revoked.client.workspaces.me()).rejects.toMatchObject({ status: 401 });
    await expect(used.client.workspaces.me()).resolves.toMatchObject({ principal: { role: 'operator' } });
    expect((await lastUse()) ?? '').not.toBe(first_use);
  });

  test('that were read before a revocation are not believed after it', async () => {
    const { admin } = await app.workspace();
    const made = await admin.api_tokens.create({ body: { name: 'ci', role: 'viewer' } });
    const client = app.client(made.token ?? '');
    await client.workspaces.me();
    for (let round = 0; round < 20; round++) {
      // The look may read before the drop and answer after it.
      const look = confirmBelieved(app.deps);
      app.deps.believed.forget();
      await look;
      expect(app.deps.believed.used()).toEqual([]);
      await client.workspaces.me();
    }
  });

  test('that come at the same moment are each known for themselves', async () => {
    const { admin } = await app.workspace();
    const names = Array.from({ length: 12 }, (_, index) => `at-once-${index}`);
    const made = await Promise.all(names.map((name) => admin.api_tokens.create({ body: { name, role: 'viewer' } })));
    const calls = [...made.map(({ token = '' }) => token), `flu_${'x'.repeat(50)}`].map((token) =>
      app
        .client(token)
        .workspaces.me()
        .then(
          ({ principal }) => principal.name,
          (error: { status: number }) => error.status,
        ),
    );
    expect(await Promise.all(calls)).toEqual([...names, 401]);
  });

  test('have one live holder of a name, and an expiry by the database clock', async () => {
    const { admin } = await app.workspace();
    const made = await admin.api_tokens.create({ body: { name: 'ci', role: 'viewer', expires_in_s: 60 } });
    await expect(admin.api_tokens.create({ body: { name: 'ci', role: 'viewer' } })).rejects.toMatchObject({
      code: 'name_taken',
    });
    await app.shiftClock(61_000);
    await expect(app.client(made.token ?? '').workspaces.me()).rejects.toMatchObject({ status: 401 });
  });

  test('of another workspace do not exist', async () => {
    const [one, other] = [await app.workspace(), await app.workspace()];
    const made = await one.admin.api_tokens.create({ body: { name: 'ci', role: 'viewer' } });
    await expect(other.admin.api_tokens.revoke({ params: { id: made.id } })).rejects.toMatchObject({ status: 404 });
    await expect(app.client(made.token ?? '').workspaces.me()).resolves.toBeDefined();
  });
});

describe('join tokens', () => {
  const join = (token: string | undefined, name: string, more: { agent_token_sha256?: string } = {}) =>
    anonymous.agents.register({ body: { join_token: token ?? '', agent: { name }, ...more } });
  const wordingOf = async (call: Promise<unknown>): Promise<string> => {
    const error: unknown = await call.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ status: 401, code: 'join_token_invalid' });
    return error instanceof Error ? error.message : '';
  };

  test('refuse wrong, used, expired and revoked ones in one wording', async () => {
    const { admin } = await app.workspace();
    const [used, expired, revoked] = [
      await admin.join_tokens.create({ body: {} }),
      await admin.join_tokens.create({ body: { expires_in_s: 30 } }),
      await admin.join_tokens.create({ body: {} }),
    ];
    await join(used.token, freshName('host'));
    await admin.join_tokens.revoke({ params: { id: revoked.id } });
    await app.shiftClock(31_000);
    const name = freshName('host');
    const wordings = [
      await wordingOf(join('flj_nobody-made-this-one', name)),
      await wordingOf(join(used.token, name)),
      await wordingOf(join(expired.token, name)),
      await wordingOf(join(revoked.token, name)),
    ];
    expect(new Set(wordings).size).toBe(1);
  });

  test('of 100 concurrent uses exactly one wins', async () => {
    const { admin } = await app.workspace();
    const { token } = await admin.join_tokens.create({ body: {} });
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => join(token, freshName('host'))));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await admin.agents.list()).agents).toHaveLength(1);
  });

  test('grant what they say, and check the name they are for without being used up', async () => {
    const { admin } = await app.workspace();
    const { token } = await admin.join_tokens.create({
      body: { name_pattern: 'build-?.*', tags: ['gpu'], role: 'reviewer', slots: 3 },
    });
    for (const name of ['web-1.a', 'build-12.a', 'build-1a', 'xbuild-1.a']) {
      await expect(join(token, name)).rejects.toMatchObject({ status: 400, code: 'invalid_input' });
    }
    const { agent, agent_token } = await join(token, 'build-1.eu');
    expect(agent).toMatchObject({ name: 'build-1.eu', tags: ['gpu'], role: 'reviewer', slots: 3, slots_ceiling: 3 });
    expect(agent_token).toMatch(/^fla_/);
    const { join_tokens } = await admin.join_tokens.list();
    expect(join_tokens[0]).toMatchObject({ used_by_agent_id: agent.id, used_at: expect.any(String) as string });
  });

  test('match names by patterns of many stars in no time', () => {
    const yes: [string, string][] = [
      ['*', ''],
      ['*', 'a'],
      ['a*', 'a'],
      ['*a', 'aba'],
      ['a*b*c', 'a-b-b-c-c'],
      ['?', 'a'],
      ['a?*', 'ab'],
      ['a.b', 'a.b'],
      ['**', 'ab'],
    ];
    const no: [string, string][] = [
      ['', 'a'],
      ['?', ''],
      ['a*b', 'a-b-c'],
      ['a.b', 'axb'],
      ['a?', 'a'],
      ['*a', 'ab'],
      ['[a]', 'a'],
    ];
    for (const [pattern, name] of yes)
      expect([pattern, name, matchesPattern(pattern, name)]).toEqual([pattern, name, true]);
    for (const [pattern, name] of no)
      expect([pattern, name, matchesPattern(pattern, name)]).toEqual([pattern, name, false]);
    // As a regular expression this one outlives the test.
    expect(matchesPattern(`${'*a'.repeat(50)}b`, 'a'.repeat(63))).toBe(false);
  });

  test('are not burnt by a taken name or a body that is not valid', async () => {
    const { admin } = await app.workspace();
    const [first, second] = [
      await admin.join_tokens.create({ body: {} }),
      await admin.join_tokens.create({ body: {} }),
    ];
    await join(first.token, 'scout');
    await expect(join(second.token, 'scout')).rejects.toMatchObject({ status: 409, code: 'name_taken' });
    const bad = { join_token: second.token, agent: { name: 'Not A Name' } };
    expect((await app.request('POST', '/api/v1/agents/register', { body: bad })).body).toMatchObject({
      code: 'invalid_input',
    });
    await expect(join(second.token, 'scout-2')).resolves.toMatchObject({ agent: { name: 'scout-2' } });
  });

  test('answer the same host again, so that a lost answer never strands it', async () => {
    const { admin } = await app.workspace();
    const { token } = await admin.join_tokens.create({ body: {} });
    const secret = 'fla_made-by-the-host-itself';
    const first = await join(token, 'scout', { agent_token_sha256: sha256(secret) });
    expect(first.agent_token).toBeUndefined();
    const again = await join(token, 'scout', { agent_token_sha256: sha256(secret) });
    expect(again.agent.id).toBe(first.agent.id);
    const body = { join_token: token, agent: { name: 'scout' }, agent_token_sha256: sha256(secret) };
    expect((await app.request('POST', '/api/v1/agents/register', { body })).status).toBe(200);
    await wordingOf(join(token, 'scout', { agent_token_sha256: sha256('another') }));
    await wordingOf(join(token, 'scout'));
    await expect(app.client(secret).tasks.claim({ body: { slots: 1 } })).resolves.toEqual({ tasks: [] });
  });
});

describe('agents without a daemon', () => {
  test('are registered by an operator, once, and never over a daemon', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const operator = app.client(
      (await admin.api_tokens.create({ body: { name: 'op', role: 'operator' } })).token ?? '',
    );
    const viewer = app.client((await admin.api_tokens.create({ body: { name: 'view', role: 'viewer' } })).token ?? '');
    await expect(viewer.agents.register({ body: { name: 'cli' } })).rejects.toMatchObject({ status: 403 });
    await expect(anonymous.agents.register({ body: { name: 'cli' } })).rejects.toMatchObject({ status: 401 });
    const made = await operator.agents.register({ body: { name: 'cli' } });
    expect(made).toMatchObject({ agent: { kind: 'poll', slots: 1 } });
    const again = await operator.agents.register({ body: { name: 'cli' } });
    expect(again.agent.id).toBe(made.agent.id);
    expect(again.agent_token).toBeUndefined();
    const register = async (name: string) =>
      (await app.request('POST', '/api/v1/agents/register', { token: workspace.token, body: { name } })).status;
    expect([await register('cli-2'), await register('cli-2')]).toEqual([201, 200]);
    const daemon = await workspace.agent();
    await expect(operator.agents.register({ body: { name: daemon.name } })).rejects.toMatchObject({
      code: 'name_taken',
    });
  });
});

test('an attempt token reads its task and nothing else, and dies with its epoch', async () => {
  const workspace = await app.workspace();
  const [task, other] = await workspace.tasks(2);
  const agent = await workspace.agent();
  const claimed = await agent.claimOne();
  expect(claimed.id).toBe(task?.id);
  const attempt = app.client(claimed.attempt_token);
  expect(await attempt.tasks.get({ params: { id: claimed.id } })).toMatchObject({ id: claimed.id });
  await expect(attempt.tasks.get({ params: { id: other?.id ?? 0 } })).rejects.toMatchObject({ status: 404 });
  await expect(attempt.agents.list()).rejects.toMatchObject({ status: 403 });
  await expect(
    attempt.tasks.complete({ params: { id: claimed.id }, body: { epoch: claimed.epoch, resolution: 'x' } }),
  ).rejects.toMatchObject({ status: 403 });
  const forged = claimed.attempt_token.replace(/^flt_\d+/, `flt_${other?.id}`);
  await expect(app.client(forged).workspaces.me()).rejects.toMatchObject({ status: 401 });
  await agent.complete(claimed);
  await expect(attempt.tasks.get({ params: { id: claimed.id } })).rejects.toMatchObject({ status: 401 });
});

test('no secret is in the database: only digests', async () => {
  const workspace = await app.workspace();
  const { admin } = workspace;
  const api_token =
    (await admin.api_tokens.create({ body: { name: 'ci', role: 'viewer' } }, { headers: { 'idempotency-key': 'k1' } }))
      .token ?? '';
  const join_token =
    (await admin.join_tokens.create({ body: {} }, { headers: { 'idempotency-key': 'k2' } })).token ?? '';
  const { agent_token = '' } = await anonymous.agents.register({ body: { join_token, agent: { name: 'scout' } } });
  const unused = (await admin.join_tokens.create({ body: {} })).token ?? '';
  await workspace.task();
  const [claimed] = (await app.client(agent_token).tasks.claim({ body: { slots: 1 } })).tasks;
  await app.sequence();

  const tables = await app.sql<{ name: string }[]>`select tablename as name from pg_tables where schemaname = 'public'`;
  const dump: string[] = [];
  for (const { name } of tables) {
    const rows = await app.sql<{ row: string }[]>`select t::text as row from ${app.sql(name)} t`;
    // Bytes are shown as hex: a secret stored as bytes would hide from a text search.
    dump.push(...rows.map(({ row }) => row));
  }
  const text = dump.join('\n');
  expect(text).toContain('scout');
  const secrets = [
    app.admin_token,
    workspace.token,
    api_token,
    join_token,
    agent_token,
    unused,
    claimed?.attempt_token ?? '',
  ];
  for (const secret of secrets) {
    expect(secret.length).toBeGreaterThan(40);
    expect(text).not.toContain(secret);
    expect(text).not.toContain(Buffer.from(secret).toString('hex'));
    expect(text).not.toContain(secret.slice(4));
  }
});

describe('the admin token of the environment', () => {
  // A restarted coordinator believes nothing yet.
  const restartWith = async (token: string | undefined) => {
    const made = await ensureFirstWorkspace(createDatabase(app.sql), token);
    app.deps.believed.forget();
    return made;
  };

  test('is rotated by changing it: the old one ends, the workspace stays', async () => {
    const next = 'flu_the-next-admin-token-of-the-environment';
    expect(await restartWith(next)).toBeNull();
    await expect(app.admin.workspaces.me()).rejects.toMatchObject({ status: 401 });
    expect(await app.client(next).workspaces.me()).toMatchObject({
      workspace: { id: 1 },
      principal: { role: 'admin' },
    });
    await restartWith(next);
    await expect(app.client(next).workspaces.me()).resolves.toBeDefined();
    await restartWith(app.admin_token);
    await expect(app.admin.workspaces.me()).resolves.toBeDefined();
    await expect(app.client(next).workspaces.me()).rejects.toMatchObject({ status: 401 });
  });

  test('is made once when none is given', async () => {
    expect(await restartWith(undefined)).toBeNull();
    const { api_tokens } = await app.admin.api_tokens.list();
    expect(api_tokens.filter(({ revoked_at }) => revoked_at === null)).toHaveLength(1);
  });

  test('stays revoked when it was revoked by hand, and the next start survives that', async () => {
    const { api_tokens } = await app.admin.api_tokens.list();
    for (const { id } of api_tokens) await app.admin.api_tokens.revoke({ params: { id } });
    await expect(app.admin.workspaces.me()).rejects.toMatchObject({ status: 401 });
    await restartWith(app.admin_token);
    await expect(app.admin.workspaces.me()).rejects.toMatchObject({ status: 401 });
    const made = await restartWith(undefined);
    expect(await app.client(made).workspaces.me()).toMatchObject({ workspace: { id: 1 } });
  });
});
