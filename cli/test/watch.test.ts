import { AppError, type Task, Task as TaskSchema } from '@flotilla/shared';
import { describe, expect, it } from 'vitest';

import { RAW } from './lib/fake-api.ts';
import { until } from './lib/flotilla.ts';
import { aTask, running } from './lib/rows.ts';
import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();

const waiting = {
  code: 'no_agents',
  message: 'No agent has joined yet.',
  nearest: { agent: 'scout', missing: 'tag gpu' },
} as const;

describe('create --wait', () => {
  const steps = (...tasks: Task[]) => {
    api.on('tasks.create', () => aTask({ waiting_for: waiting }));
    api.on('tasks.get', () => (tasks.length > 1 ? tasks.shift() : tasks[0]));
    api.on('tasks.readLog', (_call, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('working\n');
      return RAW;
    });
  };

  it('prints the result on stdout, the progress and the log on stderr', async () => {
    steps(
      aTask({ waiting_for: waiting }),
      running(),
      running(),
      aTask({ status: 'done', resolution: 'Hello!', attempts: 1 }),
    );
    const { code, stdout, stderr } = await home.run(['tasks', 'create', 'Say hello', '--wait']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Hello!\n' });
    expect(stderr).toContain('Created TASK-12.');
    expect(stderr).toContain('TASK-12: inbox — No agent has joined yet.');
    expect(stderr).toContain('TASK-12: running on scout (attempt 1)');
    expect(stderr.match(/working/g)).toHaveLength(1);
    expect(api.calls('tasks.readLog')[0]?.query).toMatchObject({ follow: 'true' });
  });

  it.each(['failed', 'cancelled'] as const)('ends with 5 when it ended %s', async (status) => {
    steps(
      running(),
      aTask({ status, failure: status === 'failed' ? { kind: 'exit_code', message: 'It exited with 3.' } : null }),
    );
    const { code, stdout, stderr } = await home.run(['tasks', 'create', 'Say hello', '--wait']);
    expect({ code, stdout }).toEqual({ code: 5, stdout: '' });
    expect(stderr).toContain(`TASK-12 ended ${status}`);
    if (status === 'failed') expect(stderr).toContain('exit_code: It exited with 3.');
  });

  it('gives machines the ended task', async () => {
    steps(aTask({ status: 'failed', failure: { kind: 'timeout', message: 'Too long.' } }));
    const { code, stdout } = await home.run(['tasks', 'create', 'Say hello', '--wait', '--json']);
    expect(code).toBe(5);
    expect(TaskSchema.parse(JSON.parse(stdout)).status).toBe('failed');
  });

  it('ends with 6 at the timeout, with 130 on Ctrl-C, and cancels nothing', async () => {
    steps(aTask({ waiting_for: waiting }));
    const late = await home.run(['tasks', 'create', 'Say hello', '--wait', '--wait-timeout', '1s']);
    expect(late.code).toBe(6);
    expect(late.stderr).toContain('flotilla tasks get TASK-12');
    const process = home.start(['tasks', 'create', 'Say hello', '--wait']);
    await until(() => process.err().includes('No agent has joined'), 'progress');
    process.signal('SIGINT');
    const { code, stderr } = await process.ended;
    expect(code).toBe(130);
    expect(stderr).toContain('Stopped waiting for TASK-12; it goes on. Look again: flotilla tasks get TASK-12');
    expect(api.calls('tasks.cancel')).toEqual([]);
  });

  it('ends with 5 when it is deleted meanwhile', async () => {
    steps(aTask());
    api.on('tasks.get', () => {
      throw new AppError('task_gone');
    });
    expect((await home.run(['tasks', 'create', 'Say hello', '--wait'])).code).toBe(5);
  });
});

describe('logs', () => {
  it('prints bytes as they are', async () => {
    api.on('tasks.readLog', (_call, response) => {
      response.writeHead(200).end('\u001b[31mred\u001b[0m\n');
      return RAW;
    });
    const { stdout } = await home.run(['tasks', 'logs', '12', '--stream', 'stderr', '--attempt', '2']);
    expect(stdout).toBe('\u001b[31mred\u001b[0m\n');
    expect(api.calls('tasks.readLog')[0]?.query).toMatchObject({ stream: 'stderr', attempt: '2', follow: 'false' });
  });

  it('-f waits for the first attempt, streams, and goes on where the connection broke', async () => {
    let task = aTask({ waiting_for: waiting });
    let release: () => void = () => undefined;
    let opened = 0;
    api.on('tasks.get', () => task);
    api.on('tasks.readLog', (_call, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.write('one\n');
      if (++opened === 1) release = () => response.destroy();
      else {
        response.end('two\n');
        task = aTask({ status: 'done', attempts: 1 });
      }
      return RAW;
    });
    const process = home.start(['tasks', 'logs', '-f', 'task-12']);
    await until(() => process.err().includes('has not started: No agent has joined yet.'), 'the wait');
    task = running();
    await until(() => process.out() === 'one\n', 'the first line while the attempt runs');
    release();
    const { code, stdout, stderr } = await process.ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'one\ntwo\n' });
    expect(stderr).toContain('going on where it was');
  });

  it('-f of one stream asks for the bytes that are missing', async () => {
    let opened = 0;
    api.on('tasks.get', () => running());
    api.on('tasks.readLog', (_call, response) => {
      response.writeHead(200);
      if (++opened === 1) response.write('one\n', () => setImmediate(() => response.destroy()));
      else {
        api.on('tasks.get', () => aTask({ status: 'done', attempts: 1 }));
        response.end('two\n');
      }
      return RAW;
    });
    expect((await home.run(['tasks', 'logs', '-f', '12', '--stream', 'stdout'])).stdout).toBe('one\ntwo\n');
    expect(api.calls('tasks.readLog').map(({ query }) => query['from'])).toEqual(['0', '4']);
  });
});
