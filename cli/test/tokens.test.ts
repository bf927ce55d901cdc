import { execFileSync } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { AppError } from '@flotilla/shared';
import { describe, expect, it } from 'vitest';

import { aJoinToken, anApiToken } from './lib/rows.ts';
import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();
const SECRET = 'flj_secret';

describe('tokens', () => {
  it('creates an API token: the secret alone on stdout', async () => {
    api.on('api_tokens.create', () => ({ ...anApiToken(), token: 'flu_new' }));
    const { code, stdout, stderr } = await home.run([
      'tokens',
      'create',
      '--name',
      'ci',
      '--role',
      'operator',
      '--expires',
      '30d',
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'flu_new\n' });
    expect(stderr).toContain('Created API token 9');
    const [call] = api.calls('api_tokens.create');
    expect(call?.body).toEqual({ name: 'ci', role: 'operator', expires_in_s: 2_592_000 });
    expect(call?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('creates a join token', async () => {
    api.on('join_tokens.create', () => ({ ...aJoinToken(), token: SECRET }));
    const args = [
      'tokens',
      'create',
      '--join',
      '--tag',
      'gpu,linux',
      '--tag',
      'big',
      '--slots',
      '4',
      '--role',
      'reviewer',
      '--name-pattern',
      'build-*',
      '--json',
    ];
    expect(JSON.parse((await home.run(args)).stdout)).toMatchObject({ id: 5, token: SECRET });
    expect(api.calls('join_tokens.create')[0]?.body).toEqual({
      tags: ['gpu', 'linux', 'big'],
      slots: 4,
      role: 'reviewer',
      name_pattern: 'build-*',
    });
  });

  it('does not mix the two kinds', async () => {
    expect((await home.run(['tokens', 'create'])).code).toBe(2);
    expect((await home.run(['tokens', 'create', '--name', 'ci', '--role', 'agent'])).code).toBe(2);
    expect((await home.run(['tokens', 'create', '--name', 'ci', '--role', 'viewer', '--slots', '2'])).stderr).toContain(
      '--slots is for join tokens',
    );
    expect(api.received).toEqual([]);
  });

  it('sends a creation twice with one key when the connection breaks, and owns up to a lost secret', async () => {
    let calls = 0;
    api.on('api_tokens.create', (_call, response) => {
      if (++calls === 1) response.destroy();
      return anApiToken();
    });
    const { code, stderr } = await home.run(['tokens', 'create', '--name', 'ci', '--role', 'viewer']);
    expect(code).toBe(1);
    expect(stderr).toContain('Token 9 was created, but the answer with its secret got lost');
    const keys = api.calls('api_tokens.create').map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
  });

  it('masks secrets in a dry run and sends nothing', async () => {
    const { code, stdout } = await home.run(['tokens', 'create', '--name', 'ci', '--role', 'viewer', '--dry-run']);
    expect(code).toBe(0);
    expect(stdout).not.toContain('flu_secret');
    expect(JSON.parse(stdout)).toMatchObject({
      method: 'POST',
      headers: { authorization: '********' },
      body: { name: 'ci', role: 'viewer' },
    });
    const raw = await home.run([
      'api',
      'POST',
      '/agents/register',
      '-d',
      '{"join_token":"flj_x","agent":{"name":"a"}}',
      '--dry-run',
    ]);
    expect(JSON.parse(raw.stdout)).toMatchObject({ body: { join_token: '********', agent: { name: 'a' } } });
    expect(api.received).toEqual([]);
  });

  it('lists and revokes both kinds', async () => {
    api.on('api_tokens.list', () => ({ api_tokens: [anApiToken()], next_cursor: null }));
    api.on('join_tokens.list', () => ({ join_tokens: [aJoinToken()], next_cursor: null }));
    api.on('join_tokens.revoke', () => null);
    expect((await home.run(['tokens', 'list'])).stdout).toMatch(/9 +ci +operator +valid +never +never/);
    expect(JSON.parse((await home.run(['tokens', 'list', '--join', '--json'])).stdout)).toEqual({
      join_tokens: [aJoinToken()],
      next_cursor: null,
    });
    expect((await home.run(['tokens', 'revoke', '5', '--join'])).code).toBe(2);
    expect((await home.run(['tokens', 'revoke', '5', '--join', '--yes'])).code).toBe(0);
    expect(api.calls('join_tokens.revoke')[0]?.params).toEqual({ id: '5' });
    expect((await home.run(['tokens', 'revoke', 'five', '--yes'])).code).toBe(2);
  });
});

describe('hosts add', () => {
  const nasty = `["my agent","it's $HOME"]`;

  it('prints lines that a shell runs as they are meant', async () => {
    api.on('join_tokens.create', () => ({ ...aJoinToken(), token: SECRET }));
    const args = [
      'hosts',
      'add',
      '--name',
      'build-3',
      '--slots',
      '2',
      '--tag',
      'linux',
      '--repo',
      'https://git.example.org/f.git',
      '--command',
      nasty,
    ];
    const { code, stdout, stderr } = await home.run(args);
    expect(code).toBe(0);
    expect(api.calls('join_tokens.create')[0]?.body).toEqual({ tags: ['linux'], slots: 2, name_pattern: 'build-3' });
    expect(stderr).toContain('this machine only');
    expect(stdout).not.toContain('Warning');
    const bin = join(home.dir, 'bin');
    await mkdir(bin, { recursive: true });
    const fakes = { git: 'mkdir flotilla', make: ':', node: 'env > "$HOME/env"; printf "%s " "$@" > "$HOME/argv"' };
    for (const [name, body] of Object.entries(fakes))
      await writeFile(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    execFileSync('/bin/sh', ['-c', stdout], { cwd: home.dir, env: { HOME: home.dir, PATH: `${bin}:/usr/bin:/bin` } });
    const env = Object.fromEntries(
      (await readFile(join(home.dir, 'env'), 'utf8')).split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)),
    );
    const tokenFile = join(home.dir, '.local/state/flotilla/build-3.join-token');
    expect(env).toMatchObject({
      FLOTILLA_URL: api.url,
      FLOTILLA_JOIN_TOKEN_FILE: tokenFile,
      FLOTILLA_STATE_DIR: join(home.dir, '.local/state/flotilla/build-3'),
      FLOTILLA_AGENT_NAME: 'build-3',
      FLOTILLA_SLOTS: '2',
      FLOTILLA_EXECUTOR: 'command',
      FLOTILLA_COMMAND: nasty,
    });
    expect((await stat(tokenFile)).mode & 0o777).toBe(0o600);
    expect(await readFile(tokenFile, 'utf8')).toBe(`${SECRET}\n`);
    expect(await readFile(join(home.dir, 'argv'), 'utf8')).toContain('agentd/dist/main.js');
  });

  it('prints the lines of an OpenClaw host, and refuses the options of the other executor', async () => {
    api.on('join_tokens.create', () => ({ ...aJoinToken(), token: SECRET }));
    const args = ['hosts', 'add', '--executor', 'openclaw'];
    const plain = await home.run(args);
    expect(plain.stdout).toContain(
      'FLOTILLA_EXECUTOR=openclaw \\\nFLOTILLA_OPENCLAW_CONFIG="$HOME"/.openclaw/openclaw.json \\\nnode ',
    );
    expect(plain.stdout).not.toContain('FLOTILLA_COMMAND');
    expect(plain.stderr).toContain('npm i -g openclaw');
    const files = ['--openclaw-config', "/etc/it's.json", '--openclaw-env-file', '/etc/keys.env'];
    const { stdout } = await home.run([...args, ...files]);
    expect(stdout).toContain(String.raw`FLOTILLA_OPENCLAW_CONFIG='/etc/it'\''s.json'`);
    expect(stdout).toContain('FLOTILLA_OPENCLAW_ENV_FILE=/etc/keys.env');
    api.reset();
    expect((await home.run([...args, '--command', '["x"]'])).code).toBe(2);
    expect((await home.run(['hosts', 'add', '--openclaw-config', '/x'])).code).toBe(2);
    expect((await home.run(['hosts', 'add', '--executor', 'other'])).code).toBe(2);
    expect(api.received).toEqual([]);
  });

  it('refuses what would not work, and sends nothing in a dry run', async () => {
    expect((await home.run(['hosts', 'add', '--name', 'Build 3'])).code).toBe(2);
    expect((await home.run(['hosts', 'add', '--command', 'my-agent'])).stderr).toContain('not a JSON array');
    expect((await home.run(['hosts', 'add', '--dry-run'])).code).toBe(0);
    expect(api.received).toEqual([]);
    api.on('join_tokens.create', () => {
      throw new AppError('forbidden');
    });
    expect((await home.run(['hosts', 'add'])).code).toBe(4);
  });
});
