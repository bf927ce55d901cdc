import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { AppError } from '@flotilla/shared';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { type FakeApi, startFakeApi } from './lib/fake-api.ts';
import { createHome, hasTerminal, type Home, until } from './lib/flotilla.ts';
import { aStatus } from './lib/rows.ts';

let api: FakeApi;
let other: FakeApi;
let home: Home;

const me = () => ({
  principal: { kind: 'api_token', id: 1, name: 'ci', role: 'admin' },
  workspace: { id: 1, slug: 'main', name: 'Main', created_at: '2030-01-01T00:00:00.000Z', pause: null },
});
const file = () => join(home.dir, '.config/flotilla/contexts.json');

beforeAll(async () => {
  api = await startFakeApi();
  other = await startFakeApi();
});
beforeEach(async () => {
  home = await createHome();
  for (const one of [api, other]) {
    one.on('workspaces.me', me);
    one.on('workspaces.status', aStatus);
  }
});
afterEach(async () => {
  api.reset();
  other.reset();
  await home.close();
});
afterAll(async () => {
  await api.close();
  await other.close();
});

const login = (url: string, name: string, token: string) =>
  home.run(['login', '--url', url, '--name', name, '--token', '-'], { stdin: `${token}\n` });
const sentTo = (one: FakeApi) => one.calls('workspaces.status').at(-1)?.headers.authorization;

describe('login', () => {
  it('checks the token and stores the context where only its owner can read it', async () => {
    const { code, stderr, stdout } = await login(`${api.url}/`, 'local', 'flu_one');
    expect(stderr).toContain('as ci (admin), workspace main; context "local" is current');
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(JSON.parse(await readFile(file(), 'utf8'))).toEqual({
      current: 'local',
      contexts: { local: { url: api.url, token: 'flu_one' } },
    });
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect((await stat(join(home.dir, '.config/flotilla'))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(home.dir, '.config/flotilla'))).toEqual(['contexts.json']);
    expect((await home.run(['status'])).code).toBe(0);
    expect(sentTo(api)).toBe('Bearer flu_one');
  });

  it('stores nothing when the token is wrong', async () => {
    api.on('workspaces.me', () => {
      throw new AppError('unauthenticated');
    });
    expect((await login(api.url, 'local', 'flu_bad')).code).toBe(4);
    await expect(stat(file())).rejects.toThrow('ENOENT');
  });

  it('reads a token file, and puts the contexts where it is told', async () => {
    await writeFile(join(home.dir, 'token'), 'flu_file\n');
    const places = { FLOTILLA_CONFIG_HOME: join(home.dir, 'a'), XDG_CONFIG_HOME: join(home.dir, 'b') };
    await home.run(['login', '--url', api.url, '--token-file', join(home.dir, 'token')], { env: places });
    expect((await home.run(['config', 'path'], { env: places })).stdout).toBe(`${join(home.dir, 'a/contexts.json')}\n`);
    expect(await readFile(join(home.dir, 'a/contexts.json'), 'utf8')).toContain('flu_file');
    const { stdout } = await home.run(['config', 'path'], { env: { XDG_CONFIG_HOME: places.XDG_CONFIG_HOME } });
    expect(stdout).toBe(`${join(home.dir, 'b/flotilla/contexts.json')}\n`);
  });

  it('needs a token where nobody can be asked', async () => {
    const { code, stderr } = await home.run(['login', '--url', api.url]);
    expect(code).toBe(2);
    expect(stderr).toContain('--token-file');
  });

  it.skipIf(!hasTerminal)('asks on a terminal without showing the token', async () => {
    const process = home.start(['login', '--url', api.url], { tty: true });
    await until(() => process.out().includes('Token for'), 'the question');
    process.write('flu_typed\r');
    const { code, stdout } = await process.ended;
    expect(code).toBe(0);
    expect(stdout).not.toContain('flu_typed');
    expect(await readFile(file(), 'utf8')).toContain('flu_typed');
  });
});

describe('precedence', () => {
  it('is flag over environment over file', async () => {
    await login(api.url, 'one', 'flu_file');
    await home.run(['status']);
    expect(sentTo(api)).toBe('Bearer flu_file');
    await home.run(['status'], { env: { FLOTILLA_TOKEN: 'flu_env' } });
    expect(sentTo(api)).toBe('Bearer flu_env');
    await home.run(['status'], { env: { FLOTILLA_URL: other.url, FLOTILLA_TOKEN: 'flu_env' } });
    expect(sentTo(other)).toBe('Bearer flu_env');
    await home.run(['status', '--url', api.url, '--token', '-'], {
      env: { FLOTILLA_URL: other.url, FLOTILLA_TOKEN: 'flu_env' },
      stdin: 'flu_flag',
    });
    expect(sentTo(api)).toBe('Bearer flu_flag');
  });

  it('never sends the token of a context to another coordinator', async () => {
    await login(api.url, 'one', 'flu_file');
    const { code, stderr } = await home.run(['status', '--url', other.url]);
    expect(code).toBe(4);
    expect(stderr).toContain(`belongs to ${api.url}`);
    expect(other.received).toEqual([]);
  });

  it('says what to do when nothing is configured', async () => {
    const { code, stderr } = await home.run(['status']);
    expect(code).toBe(2);
    expect(stderr).toContain('No coordinator is configured');
    expect(stderr).toContain('flotilla login');
    expect((await home.run(['status'], { env: { FLOTILLA_URL: api.url } })).code).toBe(4);
  });
});

describe('contexts', () => {
  it('are listed, switched and forgotten', async () => {
    await login(api.url, 'one', 'flu_one');
    await login(other.url, 'two', 'flu_two');
    const list = await home.run(['config', 'list']);
    expect(list.stdout).toMatch(new RegExp(`\\* +two +${other.url}`));
    expect(list.stdout).not.toContain('flu_');
    expect((await home.run(['config', 'list', '--json'])).stdout).not.toContain('flu_');
    expect((await home.run(['config', 'use', 'one'])).code).toBe(0);
    expect((await home.run(['config', 'current'])).stdout).toBe('one\n');
    await home.run(['status', '--context', 'two']);
    expect(sentTo(other)).toBe('Bearer flu_two');
    expect((await home.run(['config', 'use', 'three'])).stderr).toContain('There are: one, two.');
    expect((await home.run(['config', 'delete', 'one'])).code).toBe(2);
    expect((await home.run(['config', 'delete', 'one', '--yes'])).code).toBe(0);
    expect((await home.run(['config', 'current'])).code).toBe(1);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
  });

  it('warns when others can read the tokens, and names a broken file', async () => {
    await login(api.url, 'one', 'flu_one');
    await chmod(file(), 0o644);
    expect((await home.run(['status'])).stderr).toContain('others can read');
    await writeFile(file(), '{"current":');
    const { code, stderr } = await home.run(['status']);
    expect(code).toBe(1);
    expect(stderr).toContain('is not a file of contexts');
  });
});
