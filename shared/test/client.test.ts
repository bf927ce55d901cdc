import { describe, expect, test } from 'vitest';

import {
  ApiError,
  BadAnswerError,
  createClient,
  type ErrorBody,
  errorCatalog,
  PROTOCOL_VERSION,
  type TransportRequest,
} from '../src/index.ts';

const answering = (...responses: (Response | Error)[]) => {
  const requests: TransportRequest[] = [];
  const client = createClient({
    base_url: 'https://fleet.example/',
    token: () => 'flu_secret',
    user_agent: 'test/1',
    transport: async (request) => {
      requests.push(request);
      const next = responses.shift();
      if (next === undefined || next instanceof Error) throw next ?? new Error('no answer left');
      return next;
    },
  });
  return { client, requests };
};
const html = (status: number) =>
  new Response('<html><h1>Bad gateway</h1></html>', { status, headers: { 'content-type': 'text/html' } });
const thrownBy = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => null,
    (error: unknown) => error,
  );
const params = { id: 12 };

describe('a request', () => {
  test('carries method, path, query, token, protocol and body as the contract says', async () => {
    const { client, requests } = answering(
      Response.json({ tasks: [], next_cursor: null }),
      new Response(null, { status: 204 }),
      Response.json({ next_offset: 3 }),
    );
    await client.tasks.list({ query: { status: 'inbox,assigned', limit: 5, cursor: undefined } });
    await client.tasks.start({ params, body: { epoch: 7 } }, { headers: { 'x-extra': '1' } });
    await client.tasks.log({
      params,
      query: { epoch: 7, stream: 'stdout', offset: 0 },
      body: new Uint8Array([1, 2, 3]),
    });
    const [list, start, log] = requests;
    expect(list).toEqual({
      method: 'GET',
      url: 'https://fleet.example/api/v1/tasks?status=inbox%2Cassigned&limit=5',
      headers: {
        accept: expect.stringContaining('application/json') as string,
        'flotilla-protocol': String(PROTOCOL_VERSION),
        authorization: 'Bearer flu_secret',
        'user-agent': 'test/1',
      },
    });
    expect(start).toMatchObject({
      method: 'POST',
      url: 'https://fleet.example/api/v1/tasks/12/start',
      body: '{"epoch":7}',
      headers: { 'content-type': 'application/json', 'x-extra': '1' },
    });
    expect(log).toMatchObject({
      body: new Uint8Array([1, 2, 3]),
      headers: { 'content-type': 'application/octet-stream' },
    });
  });

  test('asks for the token each time, and sends none when there is none', async () => {
    const seen: (string | undefined)[] = [];
    const held: (string | null)[] = ['one', 'two', null];
    const client = createClient({
      base_url: 'http://x',
      token: () => held.shift() ?? null,
      transport: async ({ headers }) => {
        seen.push(headers.authorization);
        return Response.json({ tasks: [], next_cursor: null });
      },
    });
    for (let calls = 0; calls < 3; calls++) await client.tasks.list();
    expect(seen).toEqual(['Bearer one', 'Bearer two', undefined]);
  });
});

describe('an error answer', () => {
  const body: ErrorBody = { error: 'Gone.', code: 'task_gone', hint: 'forget it', details: { a: 1 }, request_id: 'r1' };

  test('of ours becomes an ApiError with all it says', async () => {
    const { client } = answering(Response.json(body, { status: 410, headers: { 'retry-after': '7' } }));
    const error = await thrownBy(client.tasks.get({ params }));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({
      message: 'Gone.',
      status: 410,
      code: 'task_gone',
      hint: 'forget it',
      details: { a: 1 },
      request_id: 'r1',
      retry_after_s: 7,
    });
  });

  test.each([
    ['HTML', () => html(404)],
    ['nothing', () => new Response(null, { status: 410 })],
    ['JSON of somebody else', () => Response.json({ message: 'Not Found' }, { status: 404 })],
    ['JSON that is cut off', () => new Response('{"error": "x", "co', { status: 503 })],
    ['a list', () => Response.json([], { status: 500 })],
  ])('with %s has no code: nothing is known', async (_what, make) => {
    const response = make();
    const error = await thrownBy(answering(response).client.tasks.get({ params }));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({
      status: response.status,
      code: null,
      hint: null,
      details: null,
      request_id: null,
      retry_after_s: null,
    });
  });

  test('with a code we do not know keeps it', async () => {
    const { client } = answering(Response.json({ ...body, code: 'brand_new' }, { status: 409 }));
    await expect(client.tasks.get({ params })).rejects.toMatchObject({ code: 'brand_new' });
  });

  test('with a Retry-After that is a date has none', async () => {
    const { client } = answering(
      Response.json(body, { status: 503, headers: { 'retry-after': 'Wed, 21 Oct 2035 07:28:00 GMT' } }),
    );
    await expect(client.tasks.get({ params })).rejects.toMatchObject({ retry_after_s: null });
  });
});

describe('a 2xx answer that is not what the contract says', () => {
  test.each([
    ['HTML', () => html(200)],
    ['JSON of another shape', () => Response.json({ id: 'twelve' })],
    ['nothing', () => new Response('', { status: 200 })],
    ['half of it', () => new Response('{"tasks": [', { status: 200 })],
    ['204', () => new Response(null, { status: 204 })],
  ])('%s is a BadAnswerError', async (_what, make) => {
    expect(await thrownBy(answering(make()).client.tasks.claim({ body: { slots: 1 } }))).toBeInstanceOf(BadAnswerError);
  });

  test('200 where nothing was promised is one as well', async () => {
    expect(await thrownBy(answering(html(200)).client.tasks.start({ params, body: { epoch: 1 } }))).toBeInstanceOf(
      BadAnswerError,
    );
  });

  test('204 is null where the contract allows it', async () => {
    expect(await answering(new Response(null, { status: 204 })).client.tasks.next()).toBeNull();
    expect(
      await answering(new Response(null, { status: 204 })).client.tasks.start({ params, body: { epoch: 1 } }),
    ).toBeNull();
  });
});

test('fields of a newer coordinator are ignored, not refused', async () => {
  const { client } = answering(Response.json({ tasks: [], next_cursor: null, total: 3 }));
  expect(await client.tasks.list()).toMatchObject({ tasks: [], next_cursor: null });
});

test('text answers are given as they come', async () => {
  const { client } = answering(new Response('line 1\n'));
  expect(await (await client.tasks.readLog({ params })).text()).toBe('line 1\n');
});

test('the transport’s own error passes through', async () => {
  await expect(answering(new TypeError('socket hang up')).client.tasks.list()).rejects.toThrow('socket hang up');
});

test('every error has a status of its kind and a sentence', () => {
  for (const [code, { status, sentence }] of Object.entries(errorCatalog)) {
    expect(status, code).toBeGreaterThanOrEqual(400);
    expect(status, code).toBeLessThan(600);
    expect(sentence, code).toMatch(/^[A-Z].*\.$/);
  }
});
