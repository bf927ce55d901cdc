import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { AppError } from '@flotilla/shared';
import { describe, expect, it } from 'vitest';

import { aComment, anActivity, anAttachment, anAttempt, aReview, aTask, running } from './lib/rows.ts';
import { RAW } from './lib/fake-api.ts';
import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();

const waiting = {
  code: 'no_agents',
  message: 'No agent has joined yet.',
  nearest: { agent: 'scout', missing: 'tag gpu' },
} as const;

describe('create', () => {
  it('sends what was given and nothing else', async () => {
    api.on('tasks.create', () => aTask());
    const file = join(home.dir, 'bug.md');
    await writeFile(file, 'It is broken.\n');
    const options = [
      '--file',
      file,
      '--priority',
      'high',
      '--assign',
      'scout',
      '--tag',
      'a,b',
      '--require-tag',
      'linux',
      '--executor',
      'command',
    ];
    const more = [
      '--model',
      'm-1',
      '--timeout',
      '30m',
      '--not-before',
      '2031-05-01T08:00:00+02:00',
      '--backlog',
      '-o',
      'name',
    ];
    const { code, stdout } = await home.run(['tasks', 'create', ...options, 'Fix it', ...more]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'TASK-12\n' });
    const [call] = api.calls('tasks.create');
    expect(call?.body).toEqual({
      title: 'Fix it',
      description: 'It is broken.\n',
      priority: 'high',
      assigned_to: 'scout',
      tags: ['a', 'b'],
      required_tags: ['linux'],
      executor: 'command',
      model: 'm-1',
      timeout_s: 1800,
      not_before: '2031-05-01T06:00:00.000Z',
      status: 'backlog',
    });
    expect(call?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('reads the description from stdin', async () => {
    api.on('tasks.create', () => aTask());
    await home.run(['tasks', 'create', 'Review', '--description', '-'], { stdin: 'the diff' });
    expect(api.calls('tasks.create')[0]?.body).toEqual({ title: 'Review', description: 'the diff' });
  });

  it('a dry run sends nothing', async () => {
    const { code, stdout } = await home.run(['tasks', 'create', 'Say hello', '--dry-run', '--wait']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      method: 'POST',
      url: `${api.url}/api/v1/tasks`,
      body: { title: 'Say hello' },
    });
    expect(api.received).toEqual([]);
  });
});

describe('review', () => {
  it('approves and rejects with feedback; a rejection needs it', async () => {
    api.on('reviews.approve', () => aTask({ status: 'done' }));
    api.on('reviews.reject', () => aTask({ status: 'failed', rejections: 3 }));
    expect((await home.run(['tasks', 'approve', 'TASK-12'])).code).toBe(0);
    expect((await home.run(['tasks', 'approve', '12', '--feedback', 'nice'])).code).toBe(0);
    expect(api.calls('reviews.approve').map(({ body }) => body)).toEqual([{}, { feedback: 'nice' }]);
    const rejected = await home.run(['tasks', 'reject', '12', '-'], { stdin: 'not yet\n' });
    expect(rejected).toMatchObject({ code: 0, stderr: expect.stringContaining('failed') as string });
    expect(api.calls('reviews.reject')[0]?.body).toEqual({ feedback: 'not yet\n' });
    expect((await home.run(['tasks', 'reject', '12', ' '])).code).toBe(2);
    expect((await home.run(['tasks', 'reject', '12'])).code).toBe(2);
  });

  it('lists the verdicts', async () => {
    api.on('reviews.list', () => ({ reviews: [aReview()], next_cursor: null }));
    expect((await home.run(['tasks', 'reviews', '12'])).stdout).toMatch(/rejected +1 +token:ci +.* ago +not yet/);
  });
});

describe('changing a task', () => {
  it.each([
    ['cancel', ['--reason', 'no need'], { reason: 'no need' }],
    ['retry', [], undefined],
    ['unassign', [], undefined],
    ['assign', ['scout'], { assigned_to: 'scout' }],
  ])('%s', async (verb, args, body) => {
    api.on(`tasks.${verb}`, () => aTask());
    const run = await home.run(['tasks', verb, 'TASK-12', ...args]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toMatch(/^TASK-12 /m);
    expect(api.calls(`tasks.${verb}`)[0]).toMatchObject({ params: { id: '12' } });
    expect(api.calls(`tasks.${verb}`)[0]?.body).toEqual(body);
    api.received.length = 0;
    expect((await home.run(['tasks', verb, '12', ...args, '--dry-run'])).code).toBe(0);
    expect(api.received).toEqual([]);
  });

  it('cancel says that a running task is only asked', async () => {
    api.on('tasks.cancel', () => running({ cancel_requested_at: '2030-01-01T00:00:00.000Z' }));
    const { stdout, stderr } = await home.run(['tasks', 'cancel', '12']);
    expect(stdout).toContain('cancelling');
    expect(stderr).toContain('is asked to stop');
  });

  it('release says when a task on hold failed by it', async () => {
    api.on('tasks.release', () => aTask());
    expect(await home.run(['tasks', 'release', '12'])).toMatchObject({ code: 0, stderr: '' });
    api.on('tasks.release', () => aTask({ status: 'failed' }));
    const { stdout, stderr } = await home.run(['tasks', 'release', '12']);
    expect(stdout).toContain('failed');
    expect(stderr).toContain('TASK-12 was on hold for its host, so it failed');
  });

  it('edit sends If-Match with the version that it read', async () => {
    api.on('tasks.get', () => aTask({ version: 8 }));
    api.on('tasks.patch', () => aTask({ version: 9, priority: 'critical' }));
    expect((await home.run(['tasks', 'edit', '12', '--priority', 'critical'])).code).toBe(0);
    expect(api.calls('tasks.patch')[0]).toMatchObject({
      headers: { 'if-match': '"8"' },
      body: { priority: 'critical' },
    });
    api.on('tasks.patch', () => {
      throw new AppError('version_mismatch');
    });
    expect((await home.run(['tasks', 'edit', '12', '--status', 'inbox'])).code).toBe(7);
  });

  it('delete', async () => {
    api.on('tasks.delete', () => null);
    expect((await home.run(['tasks', 'delete', '12'])).code).toBe(2);
    expect(await home.run(['tasks', 'delete', '12', '--yes'])).toEqual({
      code: 0,
      stdout: '',
      stderr: 'Deleted TASK-12.\n',
    });
  });
});

describe('attachments', () => {
  const answerWith = (text: string) =>
    api.on('attachments.download', (_call, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).end(text);
      return RAW;
    });

  it('are listed, and downloaded by name or number: the newest of a name', async () => {
    const attachments = [anAttachment({ id: 4 }), anAttachment({ id: 3 }), anAttachment({ id: 2, name: '.profile' })];
    api.on('attachments.list', () => ({ attachments, next_cursor: null }));
    answerWith('hello!');
    expect((await home.run(['tasks', 'attachments', '12'])).stdout).toMatch(/#4 +report.txt +6 +text\/plain/);
    const out = join(home.dir, 'got.txt');
    expect((await home.run(['tasks', 'download', '12', 'report.txt', '--out', out])).code).toBe(0);
    expect(await readFile(out, 'utf8')).toBe('hello!');
    expect(api.calls('attachments.download')[0]?.params).toEqual({ id: '12', attachment_id: '4' });
    expect(await home.run(['tasks', 'download', '12', '3', '--out', '-'])).toMatchObject({ code: 0, stdout: 'hello!' });
    expect(api.calls('attachments.download')[1]?.params).toEqual({ id: '12', attachment_id: '3' });
    expect((await home.run(['tasks', 'download', '12', 'other.txt'])).code).toBe(1);
    // An agent's file must not become one that a shell reads.
    expect((await home.run(['tasks', 'download', '12', '.profile'])).code).toBe(2);
  });
});

describe('many at once', () => {
  it('bulk sends one request, shows each outcome, and ends badly when one was refused', async () => {
    const outcomes = [
      { id: 12, ok: true, status: 'backlog' as const, error: null },
      { id: 13, ok: false, status: null, error: { code: 'not_found', message: 'There is no task 13.' } },
    ];
    api.on('tasks.bulk', () => ({ outcomes, succeeded: 1, failed: 1 }));
    const run = await home.run(['tasks', 'bulk', 'labels', 'TASK-12', '13', '--add', 'a,b', '--remove', 'c']);
    expect(run.code).toBe(1);
    expect(run.stdout).toMatch(/TASK-12 +backlog +-\nTASK-13 +- +There is no task 13/);
    expect(api.calls('tasks.bulk')[0]?.body).toEqual({
      ids: [12, 13],
      action: 'labels',
      add_tags: ['a', 'b'],
      remove_tags: ['c'],
    });
    api.on('tasks.bulk', () => ({ outcomes: outcomes.slice(0, 1), succeeded: 1, failed: 0 }));
    expect((await home.run(['tasks', 'bulk', 'backlog', '-'], { stdin: 'TASK-12\n14\n' })).code).toBe(0);
    expect(api.calls('tasks.bulk')[1]?.body).toEqual({ ids: [12, 14], action: 'backlog' });
    // What destroys asks; what is not whole is not sent.
    expect((await home.run(['tasks', 'bulk', 'delete', '12'])).code).toBe(2);
    expect((await home.run(['tasks', 'bulk', 'assign', '12'])).code).toBe(2);
    expect((await home.run(['tasks', 'bulk', 'fly', '12'])).code).toBe(2);
    expect(api.calls('tasks.bulk')).toHaveLength(2);
    expect((await home.run(['tasks', 'bulk', 'delete', '12', '--yes'])).code).toBe(0);
  });

  it('duplicate', async () => {
    api.on('tasks.duplicate', () => aTask({ id: 13 }));
    const { stdout } = await home.run(['tasks', 'duplicate', '12', '--title', 'Again', '--backlog', '-o', 'name']);
    expect(stdout).toBe('TASK-13\n');
    const [call] = api.calls('tasks.duplicate');
    expect(call).toMatchObject({ params: { id: '12' }, body: { title: 'Again', status: 'backlog' } });
    expect(call?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('looking', () => {
  it('list passes the filters on', async () => {
    api.on('tasks.list', () => ({ tasks: [], next_cursor: null }));
    const filters = [
      '--status',
      'inbox,assigned',
      '--priority',
      'high',
      '--assigned-to',
      'scout',
      '--claimed-by',
      'rover',
      '--tag',
      'x',
      '--search',
      'deploy -staging',
    ];
    expect((await home.run(['tasks', 'list', ...filters])).code).toBe(0);
    expect(api.calls('tasks.list')[0]?.query).toEqual({
      status: 'inbox,assigned',
      priority: 'high',
      assigned_to: 'scout',
      claimed_by: 'rover',
      tag: 'x',
      search: 'deploy -staging',
      limit: '50',
    });
  });

  it('export copies the file to stdout or to a new file, and passes the filters on', async () => {
    api.on('tasks.exportAll', (_call, response) => {
      response.writeHead(200, { 'content-type': 'text/csv' }).end('ref,title\r\nTASK-12,x\r\n');
      return RAW;
    });
    const run = await home.run(['tasks', 'export', '--format', 'csv', '--status', 'done', '--search', 'x']);
    expect(run).toEqual({ code: 0, stdout: 'ref,title\r\nTASK-12,x\r\n', stderr: '' });
    expect(api.calls('tasks.exportAll')[0]?.query).toEqual({ format: 'csv', status: 'done', search: 'x' });
    const file = join(home.dir, 'tasks.csv');
    expect((await home.run(['tasks', 'export', '--format', 'csv', '--out', file])).code).toBe(0);
    expect(await readFile(file, 'utf8')).toContain('TASK-12');
    // Nothing is overwritten.
    expect((await home.run(['tasks', 'export', '--out', file])).code).toBe(2);
    api.on('tasks.exportAll', (_call, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"tasks":[');
      setTimeout(() => response.destroy(), 50);
      return RAW;
    });
    const half = join(home.dir, 'half.json');
    expect((await home.run(['tasks', 'export', '--out', half])).code).toBe(1);
    await expect(readFile(half)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('get shows all fields and the texts', async () => {
    api.on('tasks.get', () => aTask({ status: 'done', description: 'line 1\nline 2', resolution: 'Hello!' }));
    api.on('comments.list', () => ({
      comments: [aComment({ id: 8, reply_to: 7, text: 'is\u001b[2J it?' }), aComment({ id: 7, text: null })],
      next_cursor: null,
    }));
    const { stdout } = await home.run(['tasks', 'get', 'TASK-12']);
    expect(stdout).toMatch(/^STATUS +done$/m);
    expect(stdout).toContain('DESCRIPTION\nline 1\nline 2');
    expect(stdout).toContain('RESULT\nHello!');
    // Oldest first; what is said cannot steer the terminal.
    expect(stdout).toMatch(
      /COMMENTS\n#7 token:ci .*\n {2}\(deleted\)\n#8 token:ci .*answers #7\n {2}is\ufffd\[2J it\?\n$/,
    );
  });

  it('why says what it waits for', async () => {
    api.on('tasks.get', () => aTask({ waiting_for: waiting }));
    expect((await home.run(['tasks', 'why', '12'])).stdout).toBe(
      'TASK-12 waits: No agent has joined yet. (no_agents)\nNearest: scout — tag gpu\n',
    );
    expect(JSON.parse((await home.run(['tasks', 'why', '12', '--json'])).stdout)).toEqual(waiting);
  });

  it('activity tells the story line by line', async () => {
    api.on('tasks.activity', () => ({
      activity: [
        anActivity(),
        anActivity({
          type: 'task.update',
          details: { fields: ['status'], was: 'inbox', status: 'backlog', assigned_to: 'scout' },
        }),
        anActivity({
          type: 'attempt.ended',
          who: 'agent:scout',
          attempt: 2,
          details: { state: 'failed', failure: { kind: 'timeout', message: 'too\nslow' } },
        }),
        anActivity({ type: 'comment', comment_id: 7, text: 'why\u001b[2J?' }),
        anActivity({ type: 'comment', comment_id: 8, text: null }),
      ],
      next_cursor: null,
    }));
    const { stdout } = await home.run(['tasks', 'activity', '12', '--latest', '-o', 'wide']);
    expect(api.calls('tasks.activity')[0]?.query).toEqual({ limit: '50', order: 'desc' });
    expect(stdout).toMatch(/token:ci +task.create/);
    expect(stdout).toMatch(/task.update +inbox → backlog; assigned to scout; fields: status/);
    expect(stdout).toMatch(/agent:scout +attempt.ended +attempt 2; failed; timeout: too slow/);
    expect(stdout).toMatch(/comment +#7: why\ufffd\[2J\?/);
    expect(stdout).toMatch(/comment +#8 \(deleted\)/);
  });

  it('attempts', async () => {
    api.on('tasks.attempts', () => ({ attempts: [anAttempt()], next_cursor: null }));
    expect((await home.run(['tasks', 'attempts', '12'])).stdout).toMatch(/1 +completed +scout +command/);
  });

  it('get and attempts say how far a running attempt is', async () => {
    const progress = { percent: 41.9, message: 'reads\u001b[2J the\nfiles', at: '2020-01-01T00:00:00.000Z' };
    const attempt = anAttempt({ state: 'running', ended_at: null, progress });
    api.on('tasks.get', () => running());
    api.on('tasks.attempts', () => ({ attempts: [attempt], next_cursor: null }));
    api.on('comments.list', () => ({ comments: [], next_cursor: null }));
    const said = /41 %, reads\ufffd\[2J the files \(\w+ ago\)/;
    const { stdout } = await home.run(['tasks', 'get', '12']);
    expect(stdout).toMatch(new RegExp(`^PROGRESS +${said.source}$`, 'm'));
    expect(api.calls('tasks.attempts')[0]?.query).toEqual({ limit: '1' });
    expect((await home.run(['tasks', 'attempts', '12'])).stdout).toMatch(said);
    // What an attempt of another epoch said is not how far this one is.
    api.on('tasks.get', () => running({ epoch: 8 }));
    expect((await home.run(['tasks', 'get', '12'])).stdout).not.toContain('PROGRESS');
    api.on('tasks.attempts', () => ({
      attempts: [anAttempt({ progress: { percent: null, message: null, at: progress.at } }), anAttempt()],
      next_cursor: null,
    }));
    expect((await home.run(['tasks', 'attempts', '12'])).stdout).toMatch(/at work \(\w+ ago\)/);
  });
});
