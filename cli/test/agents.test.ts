import { AppError } from '@flotilla/shared';
import { describe, expect, it } from 'vitest';

import { hasTerminal, until } from './lib/flotilla.ts';
import { anAgent, draining } from './lib/rows.ts';
import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();

const fleet = () => {
  const agents = [
    anAgent({ id: 3, name: 'scout' }),
    anAgent({ id: 4, name: 'build-1' }),
    anAgent({ id: 5, name: 'build-2' }),
    anAgent({ id: 6, name: 'build' }),
  ];
  api.on('agents.list', () => ({ agents, next_cursor: null }));
  api.on('agents.get', ({ params }) => {
    const found = agents.find(({ id }) => String(id) === params['id']);
    if (found === undefined) throw new AppError('not_found');
    return found;
  });
};

describe('naming an agent', () => {
  it.each([
    ['scout', 'scout'],
    ['sc', 'scout'],
    ['3', 'scout'],
    ['build', 'build'],
    ['build-2', 'build-2'],
  ])('%s is %s', async (ref, name) => {
    fleet();
    expect((await home.run(['agents', 'get', ref, '-o', 'name'])).stdout).toBe(`${name}\n`);
  });

  it('refuses a start that fits several, and names them', async () => {
    fleet();
    const { code, stderr } = await home.run(['agents', 'get', 'build-']);
    expect(code).toBe(2);
    expect(stderr).toContain('"build-" fits 2 agents: build-1, build-2.');
  });

  it('says that there is none', async () => {
    fleet();
    expect(await home.run(['agents', 'get', 'nobody'])).toMatchObject({ code: 1, stdout: '' });
    expect((await home.run(['agents', 'get', '99'])).stderr).toContain('code: not_found');
  });
});

describe('drain', () => {
  it('watches until nothing runs, with progress on stderr', async () => {
    fleet();
    api.on('agents.drain', () => draining());
    let looks = 0;
    api.on('agents.get', () => (++looks < 4 ? draining() : draining({ drained: true, slots_used: 0 })));
    const { code, stdout, stderr } = await home.run([
      'agents',
      'drain',
      'scout',
      '--deadline',
      '10m',
      '--on-deadline',
      'requeue',
      '--reason',
      'kernel',
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/scout +drained/);
    expect(stderr).toBe('scout: 1 running task left\n');
    expect(api.calls('agents.drain')[0]?.body).toEqual({ deadline_s: 600, on_deadline: 'requeue', reason: 'kernel' });
  });

  it('does not watch with --detach', async () => {
    fleet();
    api.on('agents.drain', () => draining());
    const { code, stdout } = await home.run(['agents', 'drain', 'scout', '--detach', '-o', 'name']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'scout\n' });
    expect(api.calls('agents.get')).toEqual([]);
  });

  it('ends with 6 at the timeout and with 5 when somebody resumed it', async () => {
    fleet();
    api.on('agents.drain', () => draining());
    api.on('agents.get', () => draining());
    const late = await home.run(['agents', 'drain', 'scout', '--timeout', '1s']);
    expect(late.code).toBe(6);
    expect(late.stderr).toContain('flotilla agents get scout');
    api.on('agents.get', () => anAgent());
    expect((await home.run(['agents', 'drain', 'scout'])).code).toBe(5);
  });

  it('survives a coordinator that is away for a moment', async () => {
    fleet();
    api.on('agents.drain', () => draining());
    let looks = 0;
    api.on('agents.get', () => {
      if (++looks === 1) throw new AppError('unavailable');
      return draining({ drained: true, slots_used: 0 });
    });
    const { code, stderr } = await home.run(['agents', 'drain', 'scout']);
    expect(code).toBe(0);
    expect(stderr).toContain('trying again');
  });

  it('goes on after Ctrl-C: 130, and how to look again', async () => {
    fleet();
    api.on('agents.drain', () => draining());
    api.on('agents.get', () => draining());
    const process = home.start(['agents', 'drain', 'scout']);
    await until(() => process.err().includes('running task left'), 'progress');
    process.signal('SIGINT');
    const { code, stderr, stdout } = await process.ended;
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    expect(stderr).toContain('it goes on. Look again: flotilla agents get scout');
    expect(api.calls('agents.resume')).toEqual([]);
  });
});

it('resume names the drain that it saw', async () => {
  fleet();
  api.on('agents.list', () => ({ agents: [draining()], next_cursor: null }));
  api.on('agents.resume', () => anAgent());
  expect((await home.run(['agents', 'resume', 'scout'])).code).toBe(0);
  expect(api.calls('agents.resume')[0]?.body).toEqual({ generation: 2 });
});

describe('asking before destroying', () => {
  const deletable = () => {
    fleet();
    api.on('agents.delete', () => null);
  };

  it('needs --yes where nobody can be asked', async () => {
    deletable();
    const { code, stderr } = await home.run(['agents', 'delete', 'scout'], { stdin: 'y\n' });
    expect(code).toBe(2);
    expect(stderr).toContain('needs --yes');
    expect(api.calls('agents.delete')).toEqual([]);
    expect((await home.run(['agents', 'delete', 'scout', '--yes'])).code).toBe(0);
    expect(api.calls('agents.delete')).toHaveLength(1);
  });

  it.skipIf(!hasTerminal)('asks on a terminal: no is 3, yes deletes, --no-input does not ask', async () => {
    deletable();
    const answer = async (text: string) => {
      const process = home.start(['agents', 'delete', 'scout'], { tty: true });
      await until(() => process.out().includes('[y/N]'), 'the question');
      process.write(text);
      return process.ended;
    };
    expect((await answer('n\n')).code).toBe(3);
    expect((await answer('\u0003')).code).toBe(130);
    expect(api.calls('agents.delete')).toEqual([]);
    expect((await answer('y\n')).code).toBe(0);
    expect(api.calls('agents.delete')).toHaveLength(1);
    expect((await home.run(['agents', 'delete', 'scout', '--no-input'], { tty: true })).code).toBe(2);
  });

  it('a dry run changes nothing and asks nothing', async () => {
    deletable();
    const { code, stdout } = await home.run(['agents', 'delete', '3', '--dry-run']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ method: 'DELETE', url: `${api.url}/api/v1/agents/3` });
    expect(api.received.every(({ method }) => method === 'GET')).toBe(true);
  });
});

it('why says why an agent gets no work', async () => {
  fleet();
  const message = 'None of the 3 queued tasks is for scout. TASK-7 comes closest: it needs tag gpu.';
  const nearest = { task_id: 7, missing: 'tag gpu' };
  const tasks = { need_more: 2, for_others: 1 };
  api.on('agents.whyIdle', () => ({ code: 'tasks_need_more', message, slots: 2, slots_used: 0, tasks, nearest }));
  const { code, stdout } = await home.run(['agents', 'why', 'scout']);
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: `${message} (tasks_need_more)\nSlots: 0 of 2 in use. Queued: 2 need more, 1 for others.\n`,
  });
  expect(api.calls('agents.whyIdle')[0]?.params).toEqual({ id: '3' });
});
