import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

import { AppError, type ErrorCode, StatusReport, Task } from '@flotilla/shared';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

import { RAW, startFakeApi } from './lib/fake-api.ts';
import { hasTerminal, until } from './lib/flotilla.ts';
import { anAuditEvent, aStatus, aTask } from './lib/rows.ts';
import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();

describe('formats', () => {
  const rows = [
    aTask({ id: 12, title: 'Say hello' }),
    aTask({ id: 11, title: 'Evil \u001b]0;owned\u0007 title\nsecond line' }),
  ];
  const List = z.object({ tasks: z.array(Task), next_cursor: z.null() });

  it('prints one resource per line, and nothing in it steers the terminal', async () => {
    api.on('tasks.list', () => ({ tasks: rows, next_cursor: null }));
    const { code, stdout, stderr } = await home.run(['tasks', 'list']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n')[0]).toMatch(/^TASK +STATUS +PRIORITY +AGENT +AGE +TITLE$/);
    expect(stdout).toMatch(/^TASK-12 +inbox +medium .* Say hello$/m);
    expect(stdout.trimEnd().split('\n')).toHaveLength(3);
    expect(stdout).not.toContain('\u001b');
    expect(stdout).not.toContain('\u0007');
  });

  it('wide has more columns', async () => {
    api.on('tasks.list', () => ({ tasks: rows, next_cursor: null }));
    expect((await home.run(['tasks', 'list', '-o', 'wide'])).stdout).toMatch(/TITLE +TAGS +REQUIRES +EXECUTOR/);
  });

  it('json and yaml are the resource of the API', async () => {
    api.on('tasks.list', () => ({ tasks: rows, next_cursor: null }));
    for (const args of [['--json'], ['-o', 'json']]) {
      const { stdout } = await home.run(['tasks', 'list', ...args]);
      expect(List.parse(JSON.parse(stdout))).toEqual({ tasks: rows, next_cursor: null });
    }
    expect(List.parse(parse((await home.run(['tasks', 'list', '-o', 'yaml'])).stdout))).toEqual({
      tasks: rows,
      next_cursor: null,
    });
    api.on('tasks.get', () => rows[0]);
    expect(Task.parse(JSON.parse((await home.run(['tasks', 'get', '12', '--json'])).stdout))).toEqual(rows[0]);
  });

  it('name is what other commands accept', async () => {
    api.on('tasks.list', () => ({ tasks: rows, next_cursor: null }));
    expect((await home.run(['tasks', 'list', '-o', 'name'])).stdout).toBe('TASK-12\nTASK-11\n');
  });

  it('says that a list is empty on stderr only', async () => {
    api.on('tasks.list', () => ({ tasks: [], next_cursor: null }));
    expect(await home.run(['tasks', 'list'])).toEqual({ code: 0, stdout: '', stderr: 'No tasks.\n' });
  });

  it('follows pages as far as asked', async () => {
    api.on('audit.list', ({ query }) => {
      const first = query['cursor'] === undefined;
      return { audit: [anAuditEvent({ id: first ? 2 : 1 })], next_cursor: first ? 'more' : null };
    });
    const one = await home.run(['audit', 'list', '--limit', '1', '-o', 'name']);
    expect(one.stdout).toBe('2\n');
    expect(one.stderr).toContain('There are more audit events');
    expect((await home.run(['audit', 'list', '--all', '-o', 'name'])).stdout).toBe('2\n1\n');
  });

  it('prints the status for people and machines', async () => {
    api.on('workspaces.status', aStatus);
    const { stdout } = await home.run(['status']);
    expect(stdout).toMatch(/^Agents: +2 online$/m);
    expect(stdout).toMatch(/^Waiting: +3 no_agents$/m);
    expect(StatusReport.parse(JSON.parse((await home.run(['status', '--json'])).stdout))).toEqual(aStatus());
  });

  it('calls the API as it is', async () => {
    api.on('tasks.create', ({ body }) => aTask({ title: z.object({ title: z.string() }).parse(body).title }));
    const { stdout, code } = await home.run(['api', 'post', '/tasks', '-d', '{"title":"raw"}']);
    expect(code).toBe(0);
    expect(Task.parse(JSON.parse(stdout)).title).toBe('raw');
    expect((await home.run(['api', 'GET', 'http://elsewhere.example/'])).code).toBe(2);
    expect((await home.run(['api', 'GET', '//elsewhere.example/'])).code).toBe(2);
    expect((await home.run(['api', 'GET', '/tasks/99'])).stderr).toContain('code: not_found');
  });
});

describe('exit codes and errors', () => {
  it.each<[ErrorCode, number]>([
    ['internal', 1],
    ['not_found', 1],
    ['unauthenticated', 4],
    ['forbidden', 4],
    ['invalid_transition', 7],
    ['version_mismatch', 7],
  ])('%s ends with %i: sentence, hint, code and request id on stderr, no stack', async (code, exit) => {
    api.on('tasks.get', () => {
      throw new AppError(code, { sentence: 'It went wrong.', hint: 'Do this.' });
    });
    const run = await home.run(['tasks', 'get', '12']);
    expect(run).toMatchObject({ code: exit, stdout: '' });
    expect(run.stderr).toBe(`Error: It went wrong.\n  hint: Do this.\n  code: ${code}  request id: req-42\n`);
  });

  it.each([
    [['tasks', 'get', 'nonsense'], '"nonsense" is not a task'],
    [['tasks', 'get'], "Missing required argument 'task'"],
    [['tasks', 'list', '--status', 'inbx'], 'Choose from backlog, inbox'],
    [['tasks', 'list', '-o', 'xml'], 'Allowed choices are table'],
    [['tasks', 'create', '   '], 'title: must not be blank'],
    [['tasks', 'create', 'x', '--timeout', '30'], '"30" is not a duration'],
    [['tasks', 'create', 'x', '--wait', '--backlog'], 'A parked task does not end'],
    [['agents', 'drain', 'scout', '--on-deadline', 'kill'], 'needs a --deadline'],
    [['tasks', 'list', '--token', 'flu_oops'], 'visible to everybody'],
    [['tasks', 'edit', '12'], 'Nothing to change'],
  ])('%j is a usage error', async (args, message) => {
    const { code, stderr, stdout } = await home.run(args);
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(api.received.filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  it('suggests the nearest command', async () => {
    const noun = await home.run(['taks', 'list']);
    expect(noun.code).toBe(2);
    expect(noun.stderr).toContain("Unknown command 'taks'.\n  hint: Did you mean tasks?");
    expect((await home.run(['tasks', 'lst'])).stderr).toContain('Did you mean list?');
    expect((await home.run(['tasks', 'list', '--statsu', 'inbox'])).stderr).toContain('Did you mean --status?');
  });

  it('names the address and the remedy when nothing answers', async () => {
    const gone = await startFakeApi();
    await gone.close();
    const { code, stderr } = await home.run(['status'], { env: { FLOTILLA_URL: gone.url } });
    expect(code).toBe(1);
    expect(stderr).toContain(`Nothing answers at ${gone.url} (connection refused)`);
    expect(stderr).toContain('The address comes from FLOTILLA_URL');
    expect(stderr).toContain('--url');
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  it('tells a proxy from a coordinator', async () => {
    const proxy = createServer((_request, response) => response.writeHead(502).end('<html>bad gateway</html>'));
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = z.object({ port: z.number() }).parse(proxy.address());
    const { code, stderr } = await home.run(['status', '--url', `http://127.0.0.1:${port}`]);
    proxy.close();
    expect(code).toBe(1);
    expect(stderr).toContain('Something between here and the coordinator answered');
  });

  it('ends quietly when the reader has enough', async () => {
    api.on('tasks.readLog', (_call, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      const timer = setInterval(() => response.write('line\n'.repeat(20_000)), 5);
      response.on('close', () => clearInterval(timer));
      return RAW;
    });
    const process = home.start(['tasks', 'logs', '12']);
    await until(() => process.out() !== '', 'output');
    process.hangUp();
    expect(await process.ended).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('the program', () => {
  it('knows its version', async () => {
    const manifest = z
      .object({ version: z.string() })
      .parse(JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')));
    expect(await home.run(['--version'])).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: '' });
  });

  it('starts every help with examples', async () => {
    for (const args of [
      [],
      ['tasks'],
      ['tasks', 'create'],
      ['agents', 'drain'],
      ['hosts', 'add'],
      ['login'],
      ['api'],
    ]) {
      const { code, stdout } = await home.run([...args, '--help']);
      expect({ code, args, start: stdout.slice(0, 24) }).toEqual({
        code: 0,
        args,
        start: 'Examples:\n  $ flotilla '.padEnd(24, stdout[23]),
      });
    }
  });

  it('shows help on stderr when the verb is missing', async () => {
    const { code, stdout, stderr } = await home.run(['tasks']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/create .*<title>/);
  });

  it.skipIf(!hasTerminal)('is coloured on a terminal, and not with NO_COLOR', async () => {
    api.on('tasks.list', () => ({ tasks: [aTask()], next_cursor: null }));
    expect((await home.run(['tasks', 'list'], { tty: true })).stdout).toContain('\u001b[1mTASK');
    expect((await home.run(['tasks', 'list'], { tty: true, env: { NO_COLOR: '1' } })).stdout).not.toContain('\u001b');
    expect((await home.run(['tasks', 'get', 'x'], { tty: true })).stdout).toContain('\u001b[31mError:');
  });
});
