import type { ServerResponse } from 'node:http';

import { AppError, Event } from '@flotilla/shared';
import { expect, it } from 'vitest';

import { RAW } from './lib/fake-api.ts';
import { until } from './lib/flotilla.ts';
import { anEvent } from './lib/rows.ts';
import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();

const open = (response: ServerResponse) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('retry: 20\n\n');
};
const send = (response: ServerResponse, event: Event) => {
  response.write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
};

it('reconnects with the last id, also one of a frame without data, and misses nothing', async () => {
  const steps: ((response: ServerResponse) => void)[] = [
    (response) => {
      send(response, anEvent(5));
      response.end();
    },
    (response) => {
      send(response, anEvent(6));
      response.write('id: 9\n\n');
      setImmediate(() => response.destroy());
    },
    (response) => send(response, anEvent(10)),
  ];
  api.on('events.stream', (_call, response) => {
    open(response);
    steps.shift()?.(response);
    return RAW;
  });
  const process = home.start(['events', 'watch', '--types', 'task,agent', '--since', '4', '--json']);
  await until(() => process.out().split('\n').length > 3, 'three events');
  process.signal('SIGINT');
  const { code, stdout, stderr } = await process.ended;
  expect(code).toBe(130);
  expect(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => Event.parse(JSON.parse(line)).seq),
  ).toEqual([5, 6, 10]);
  const calls = api.calls('events.stream');
  expect(calls.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '5', '9']);
  expect(calls.map(({ query }) => query)).toEqual([
    { types: 'task,agent', last_event_id: '4' },
    { types: 'task,agent' },
    { types: 'task,agent' },
  ]);
  expect(stderr).toContain('reconnecting');
});

it('prints a line per event, and control frames on stderr', async () => {
  api.on('events.stream', (_call, response) => {
    open(response);
    response.write('id: 0\nevent: stream.reset\ndata: {}\n\n');
    send(response, anEvent(1, { type: 'agent.online', entity_id: 3, summary: { name: 'scout' } }));
    return RAW;
  });
  const process = home.start(['events', 'watch']);
  await until(() => process.out().includes('\n'), 'an event');
  process.signal('SIGINT');
  const { stdout, stderr } = await process.ended;
  expect(stdout).toMatch(/agent\.online +3 +name=scout\n$/);
  expect(stderr).toContain('events may be missing here');
});

it('ends when the right to read is gone, and at once when it never was there', async () => {
  let first = true;
  api.on('events.stream', (_call, response) => {
    if (!first) throw new AppError('unauthenticated');
    first = false;
    open(response);
    response.end();
    return RAW;
  });
  expect((await home.run(['events', 'watch'])).code).toBe(4);
  expect((await home.run(['events', 'watch'])).stderr).not.toContain('reconnecting');
});
