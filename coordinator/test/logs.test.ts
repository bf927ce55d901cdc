import { describe, expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import type { Held } from './lib/fleet.ts';
import { until } from './lib/until.ts';

const LIMIT = 4096;
const app = await testApp({ FLOTILLA_MAX_LOG_BYTES: String(LIMIT) });

const running = async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const task = await workspace.task();
  const held = await agent.claimOne();
  const read = async (search = '') =>
    (await app.request('GET', `/api/v1/tasks/${task.id}/log${search}`, { token: workspace.token })).text;
  return { workspace, agent, task, held, read };
};

describe('append', () => {
  test('continues where it ended; overlap is ignored, so that repeats leave the same bytes', async () => {
    const { agent, held, read } = await running();
    expect(await agent.log(held, 0, 'hello ')).toEqual({ next_offset: 6 });
    expect(await agent.log(held, 0, 'hello ')).toEqual({ next_offset: 6 });
    expect(await agent.log(held, 3, 'lo wor')).toEqual({ next_offset: 9 });
    expect(await agent.log(held, 9, 'ld')).toEqual({ next_offset: 11 });
    expect(await agent.log(held, 11, '')).toEqual({ next_offset: 11 });
    expect(await read()).toBe('hello world');
  });

  test('a gap is 409 with the wanted offset', async () => {
    const { agent, held, read } = await running();
    await agent.log(held, 0, 'abc');
    await expect(agent.log(held, 5, 'x')).rejects.toMatchObject({
      status: 409,
      code: 'log_gap',
      details: { wanted_offset: 3 },
    });
    expect(await read()).toBe('abc');
  });

  test('streams are apart', async () => {
    const { agent, held, read } = await running();
    await agent.log(held, 0, 'out1 ');
    await agent.log(held, 0, 'err1 ', 'stderr');
    await agent.log(held, 5, 'out2 ');
    expect(await read()).toBe('out1 err1 out2 ');
    expect(await read('?stream=stdout')).toBe('out1 out2 ');
    expect(await read('?stream=stderr')).toBe('err1 ');
  });

  test('concurrent sends of one chunk store it once', async () => {
    const { agent, held, read } = await running();
    await Promise.all(Array.from({ length: 20 }, () => agent.log(held, 0, 'once')));
    expect(await read()).toBe('once');
  });

  test('any bytes are kept as they are', async () => {
    const { agent, held, workspace, task } = await running();
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    await agent.log(held, 0, bytes);
    const response = await app.open(`/api/v1/tasks/${task.id}/log?stream=stdout`, { token: workspace.token });
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    expect(response.headers.get('content-type')).toContain('text/plain');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('of more than 1 MiB is refused', async () => {
    const { agent, held, read } = await running();
    await expect(agent.log(held, 0, new Uint8Array(1_048_577))).rejects.toMatchObject({
      status: 413,
      code: 'body_too_large',
    });
    expect(await read()).toBe('');
  });

  test('beyond the storage limit is counted, not kept, and shown as truncated', async () => {
    const { agent, held, task, workspace, read } = await running();
    await agent.log(held, 0, 'a'.repeat(LIMIT - 10));
    expect(await agent.log(held, LIMIT - 10, 'b'.repeat(30))).toEqual({ next_offset: LIMIT + 20 });
    expect(await agent.log(held, LIMIT + 20, 'c'.repeat(5))).toEqual({ next_offset: LIMIT + 25 });
    const text = await read('?stream=stdout');
    expect(text.startsWith(`${'a'.repeat(LIMIT - 10)}${'b'.repeat(10)}\n[flotilla:`)).toBe(true);
    const [attempt] = await workspace.attempts(task);
    expect(attempt?.log).toEqual({ stdout: { size: LIMIT + 25, final_size: null, truncated: true } });
  });
});

describe('after the attempt ended', () => {
  test('is accepted up to the declared size', async () => {
    const { agent, held, workspace, task, read } = await running();
    await agent.log(held, 0, 'abc');
    await agent.complete(held, { log_sizes: { stdout: 6, stderr: 2 } });
    expect(await agent.log(held, 3, 'def')).toEqual({ next_offset: 6 });
    await expect(agent.log(held, 6, 'g')).rejects.toMatchObject({
      status: 409,
      code: 'lease_lost',
      details: { size: 6, final_size: 6 },
    });
    expect(await agent.log(held, 0, 'EE', 'stderr')).toEqual({ next_offset: 2 });
    expect(await read('?stream=stdout')).toBe('abcdef');
    const [attempt] = await workspace.attempts(task);
    expect(attempt?.log).toEqual({
      stdout: { size: 6, final_size: 6, truncated: false },
      stderr: { size: 2, final_size: 2, truncated: false },
    });
  });

  test('is accepted for seven days, no longer', async () => {
    const { agent, held } = await running();
    await agent.complete(held, { log_sizes: { stdout: 6 } });
    await app.shiftClock(6 * 86_400_000);
    expect(await agent.log(held, 0, 'abc')).toEqual({ next_offset: 3 });
    await app.shiftClock(2 * 86_400_000);
    await expect(agent.log(held, 3, 'def')).rejects.toMatchObject({ status: 409 });
    // What is stored is answered as before: the host may forget it.
    expect(await agent.log(held, 0, 'abc')).toEqual({ next_offset: 3 });
  });

  test('of an attempt that lost its task is kept with that attempt', async () => {
    const { agent, held, task, workspace, read } = await running();
    await workspace.admin.tasks.release({ params: { id: task.id } });
    const other = await workspace.agent();
    const again = await other.claimOne();
    await agent.log(held, 0, 'old');
    await other.log(again, 0, 'new');
    expect(await read()).toBe('new');
    expect(await read('?attempt=1')).toBe('old');
    await other.complete(again);
  });
});

describe('read', () => {
  test('from an offset needs one stream; unknown attempts and tasks are 404', async () => {
    const { agent, held, task, workspace, read } = await running();
    await agent.log(held, 0, '01234');
    await agent.log(held, 5, '56789');
    expect(await read('?stream=stdout&from=3')).toBe('3456789');
    expect(await read('?stream=stdout&from=7')).toBe('789');
    expect(await read('?stream=stdout&from=99')).toBe('');
    const get = (path: string) => app.request('GET', `/api/v1/tasks/${path}`, { token: workspace.token });
    expect(await get(`${task.id}/log?from=3`)).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    expect((await get(`${task.id}/log?attempt=7`)).status).toBe(404);
    expect((await get('999999/log')).status).toBe(404);
    const fresh = await workspace.task();
    expect(await get(`${fresh.id}/log`)).toMatchObject({ status: 200, text: '' });
  });

  test('of more chunks than one query fetches is whole and in order', async () => {
    const { agent, held, read } = await running();
    let offset = 0;
    for (let chunk = 0; chunk < 150; chunk++) offset = (await agent.log(held, offset, `${chunk},`)).next_offset;
    expect(await read('?stream=stdout')).toBe(Array.from({ length: 150 }, (_, chunk) => `${chunk},`).join(''));
  });
});

describe('follow', () => {
  const follow = async (path: string, token: string, signal?: AbortSignal) => {
    const response = await app.open(path, { token, signal });
    let text = '';
    const ended = (async () => {
      const decoder = new TextDecoder();
      if (response.body !== null) for await (const chunk of response.body) text += decoder.decode(chunk as Uint8Array);
    })();
    return { text: () => text, ended };
  };
  const finish = (agent: { complete(held: Held, more: object): Promise<unknown> }, held: Held, stdout: number) =>
    agent.complete(held, { log_sizes: { stdout } });

  test('gives what comes, and ends when the attempt is over and all it declared has arrived', async () => {
    const { agent, held, task, workspace } = await running();
    await agent.log(held, 0, 'one ');
    const reader = await follow(`/api/v1/tasks/${task.id}/log?follow=1`, workspace.token);
    await until('the first chunk', () => reader.text() === 'one ');
    await agent.log(held, 4, 'two ');
    await until('the second chunk', () => reader.text() === 'one two ');
    await finish(agent, held, 13);
    await agent.log(held, 8, 'three');
    await reader.ended;
    expect(reader.text()).toBe('one two three');
  });

  test('of a task nobody claimed yet waits for its first attempt', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    const reader = await follow(`/api/v1/tasks/${task.id}/log?follow=1`, workspace.token);
    const held = await agent.claimOne();
    await agent.log(held, 0, 'first');
    await until('the first chunk', () => reader.text() === 'first');
    await finish(agent, held, 5);
    await reader.ended;
  });

  test('ends with its reader', async () => {
    const { agent, held, task, workspace } = await running();
    const socket = new AbortController();
    const reader = await follow(`/api/v1/tasks/${task.id}/log?follow=1`, workspace.token, socket.signal);
    await agent.log(held, 0, 'x');
    await until('the first chunk', () => reader.text() === 'x');
    socket.abort();
    await reader.ended;
    expect(reader.text()).toBe('x');
  });
});
