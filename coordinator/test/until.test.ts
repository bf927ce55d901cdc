import { describe, expect, it } from 'vitest';

import { createUntil, releasedAtEnd } from '../src/http/until.ts';

describe('a signal for as long as a request waits', () => {
  it('aborts with the request, with the server, and at once when either is over already', () => {
    const server = new AbortController();
    const makeUntil = createUntil(server.signal);
    const request = new AbortController();
    const [first, second] = [makeUntil(request.signal), makeUntil(new AbortController().signal)];
    request.abort();
    expect([first.signal.aborted, second.signal.aborted]).toEqual([true, false]);
    expect(makeUntil(request.signal).signal.aborted).toBe(true);
    server.abort();
    expect(second.signal.aborted).toBe(true);
    expect(makeUntil(new AbortController().signal).signal.aborted).toBe(true);
  });

  it('is forgotten by the server once released: nothing of a thousand polls stays', () => {
    const server = new AbortController();
    const makeUntil = createUntil(server.signal);
    const made = Array.from({ length: 1_000 }, () => makeUntil(new AbortController().signal));
    for (const until of made) until.release();
    server.abort();
    expect(made.filter(({ signal }) => signal.aborted)).toEqual([]);
  });

  it('is released when a stream ends, and when its reader goes away', async () => {
    let released = 0;
    const numbers = async function* () {
      yield* [1, 2, 3];
    };
    const release = () => {
      released += 1;
    };
    for await (const value of releasedAtEnd(numbers(), release)) expect(value).toBeGreaterThan(0);
    expect(released).toBe(1);
    for await (const value of releasedAtEnd(numbers(), release)) if (value === 1) break;
    expect(released).toBe(2);
  });
});
