import type { Event } from '@flotilla/shared';
import { expect } from 'vitest';

import type { TestApp } from './app.ts';
import { until } from './until.ts';

export type Frame = { id: number; event: string | null; data: string | null };

const parse = (block: string): Frame => {
  const fields = new Map(
    block
      .split('\n')
      .map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  );
  return { id: Number(fields.get('id')), event: fields.get('event') ?? null, data: fields.get('data') ?? null };
};

/** Opens an event stream and collects its frames until it is closed. Call `close` before the test ends. */
export const openEvents = async (app: TestApp, token: string, search = '', headers: Record<string, string> = {}) => {
  const socket = new AbortController();
  const response = await app.open(`/api/v1/events${search}`, { token, headers, signal: socket.signal });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const frames: Frame[] = [];
  const ended = (async () => {
    const decoder = new TextDecoder();
    let rest = '';
    if (response.body === null) return;
    for await (const chunk of response.body) {
      const blocks = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n\n');
      rest = blocks.pop() ?? '';
      frames.push(...blocks.map(parse));
    }
  })();
  await until('the first frame', () => frames.length > 0);
  const events = (): Event[] =>
    frames.flatMap(({ event, data }) => (data === null || event === 'stream.reset' ? [] : [JSON.parse(data) as Event]));
  return {
    frames,
    events,
    types: () => events().map(({ type }) => type),
    close: async () => {
      socket.abort();
      await ended;
    },
  };
};
