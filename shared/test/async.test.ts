import { describe, expect, test, vi } from 'vitest';

import { backoffDelay, createAlarm, every, group, retry, sleep, whenAborted } from '../src/index.ts';

const never = () => new AbortController().signal;

describe('sleep', () => {
  test('ends after its time, or with the signal, and never throws', async () => {
    await sleep(1, never());
    await sleep(1_000_000, AbortSignal.abort());
    const stop = new AbortController();
    const sleeping = sleep(1_000_000, stop.signal);
    stop.abort(new Error('enough'));
    await expect(sleeping).resolves.toBeUndefined();
  });

  test('leaves no listener on a long-lived signal', async () => {
    const { signal } = new AbortController();
    let listening = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listening += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listening -= 1;
      remove(...args);
    };
    for (let naps = 0; naps < 5; naps++) await sleep(1, signal);
    expect(listening).toBe(0);
  });
});

describe('an alarm', () => {
  test('ends a sleep, remembers a ring for the next one unless it is dropped, and ends with the signal', async () => {
    const alarm = createAlarm();
    const sleeping = alarm.sleep(1_000_000, never());
    alarm.ring();
    await sleeping;
    alarm.ring();
    await alarm.sleep(1_000_000, never());
    const slept = vi.fn<() => void>();
    alarm.ring();
    alarm.forget();
    const stop = new AbortController();
    const undisturbed = alarm.sleep(1_000_000, stop.signal).then(slept);
    await sleep(5, never());
    expect(slept).not.toHaveBeenCalled();
    stop.abort();
    await undisturbed;
    await alarm.sleep(1_000_000, stop.signal);
  });
});

describe('whenAborted', () => {
  test('resolves with the abort, also when it came before', async () => {
    await whenAborted(AbortSignal.abort());
    const stop = new AbortController();
    const waiting = whenAborted(stop.signal);
    stop.abort();
    await waiting;
  });
});

describe('backoffDelay', () => {
  const backoff = { min_ms: 100, max_ms: 1_000 };

  test('doubles from min to max and is spread over all of it', () => {
    const ceilings = [0, 1, 2, 3, 4, 10, 1_000_000].map((attempt) => backoffDelay(attempt, backoff, () => 1));
    expect(ceilings).toEqual([100, 200, 400, 800, 1_000, 1_000, 1_000]);
    expect(backoffDelay(3, backoff, () => 0)).toBe(0);
    expect(backoffDelay(3, backoff, () => 0.5)).toBe(400);
    for (let attempt = 0; attempt < 50; attempt++) {
      const delay = backoffDelay(attempt, backoff);
      expect(delay).toBeGreaterThanOrEqual(0);
      expect(delay).toBeLessThanOrEqual(1_000);
    }
  });
});

describe('retry', () => {
  const backoff = { min_ms: 1, max_ms: 4 };

  test('calls until it returns, and tells of each wait', async () => {
    const told: [number, number][] = [];
    let calls = 0;
    const answer = await retry(
      async () => {
        calls += 1;
        if (calls < 4) throw new Error(`no ${calls}`);
        return calls;
      },
      {
        signal: never(),
        retryable: () => true,
        backoff,
        random: () => 1,
        askedDelay: (error) => (error instanceof Error && error.message === 'no 2' ? 3 : null),
        onRetry: (_error, attempt, delay_ms) => told.push([attempt, delay_ms]),
      },
    );
    expect(answer).toBe(4);
    // What the other side asked for comes on top of the jitter.
    expect(told).toEqual([
      [0, 1],
      [1, 2 + 3],
      [2, 4],
    ]);
  });

  test('throws a final error at once', async () => {
    let calls = 0;
    const call = async () => {
      calls += 1;
      throw new Error('final');
    };
    await expect(retry(call, { signal: never(), retryable: () => false, backoff })).rejects.toThrow('final');
    expect(calls).toBe(1);
  });

  test('ends with the abort: before, during a call, or during a wait', async () => {
    const call = () => Promise.reject(new Error('again'));
    const options = { retryable: () => true, backoff: { min_ms: 1_000_000, max_ms: 1_000_000 }, random: () => 1 };
    await expect(retry(call, { ...options, signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop');

    const during = new AbortController();
    const stopping = async () => {
      during.abort(new Error('stop'));
      throw new Error('the call’s own');
    };
    await expect(retry(stopping, { ...options, signal: during.signal })).rejects.toThrow('the call’s own');

    const waiting = new AbortController();
    const retrying = retry(call, {
      ...options,
      signal: waiting.signal,
      onRetry: () => queueMicrotask(() => waiting.abort(new Error('stop'))),
    });
    await expect(retrying).rejects.toThrow('stop');
  });
});

describe('every', () => {
  const collect = () => {
    const stop = new AbortController();
    const errors: [string, string, number][] = [];
    const onError = (name: string, error: unknown, delay_ms: number) =>
      errors.push([name, error instanceof Error ? error.message : '', delay_ms]);
    return { stop, errors, options: { name: 'sweep', interval_ms: 1, signal: stop.signal, onError, random: () => 1 } };
  };

  test('runs again and again, never two at a time, until the abort', async () => {
    const { stop, options } = collect();
    let passes = 0;
    let inside = 0;
    let most = 0;
    await every(
      async (signal) => {
        inside += 1;
        most = Math.max(most, inside);
        await sleep(2, signal);
        inside -= 1;
        if (++passes === 5) stop.abort();
      },
      { ...options, first_ms: 0 },
    );
    expect({ passes, most }).toEqual({ passes: 5, most: 1 });
  });

  test('survives a bad pass: told, backed off, and forgotten after a good one', async () => {
    const { stop, errors, options } = collect();
    let passes = 0;
    await every(
      async () => {
        passes += 1;
        if (passes === 7) return stop.abort();
        if (passes !== 4) throw new Error(`pass ${passes}`);
      },
      { ...options, backoff: { min_ms: 2, max_ms: 5 } },
    );
    expect(errors).toEqual([
      ['sweep', 'pass 1', 2],
      ['sweep', 'pass 2', 4],
      ['sweep', 'pass 3', 5],
      ['sweep', 'pass 5', 2],
      ['sweep', 'pass 6', 4],
    ]);
  });

  test('does not report the error that stopping caused, and does not start when it is already stopped', async () => {
    const { stop, errors, options } = collect();
    await every(
      async () => {
        stop.abort();
        throw new Error('aborted in the middle');
      },
      { ...options, first_ms: 0 },
    );
    let passes = 0;
    await every(async () => void (passes += 1), { ...options, first_ms: 0 });
    expect({ errors, passes }).toEqual({ errors: [], passes: 0 });
  });

  test('waits one interval, give or take the jitter', async () => {
    const { stop, options } = collect();
    const began = performance.now();
    await every(async () => stop.abort(), { ...options, interval_ms: 30 });
    expect(performance.now() - began).toBeGreaterThanOrEqual(28);
  });
});

describe('group', () => {
  test('ends when all parts ended', async () => {
    const ended: string[] = [];
    await group(
      { a: async () => void ended.push('a'), b: async (signal) => sleep(2, signal).then(() => void ended.push('b')) },
      never(),
    );
    expect(ended).toEqual(['a', 'b']);
  });

  test('the first error aborts the others, waits for them, and wins', async () => {
    const ended: string[] = [];
    const running = group(
      {
        bad: async () => {
          throw new Error('first');
        },
        slow: async (signal) => {
          await whenAborted(signal);
          await sleep(2, never());
          ended.push('slow');
          throw new Error('second');
        },
      },
      never(),
    );
    await expect(running).rejects.toMatchObject({ message: 'first', part: 'bad' });
    expect(ended).toEqual(['slow']);
  });

  test('a part that returns early just leaves', async () => {
    const stop = new AbortController();
    let aborted = false;
    const running = group(
      { early: async () => {}, late: async (signal) => whenAborted(signal).then(() => void (aborted = true)) },
      stop.signal,
    );
    await sleep(2, never());
    expect(aborted).toBe(false);
    stop.abort();
    await running;
    expect(aborted).toBe(true);
  });

  test('the outer abort stops all without being an error, also when it came before', async () => {
    const stop = new AbortController();
    const throwing = async (signal: AbortSignal) => {
      await whenAborted(signal);
      throw new Error('stopped');
    };
    const running = group({ a: throwing, b: throwing }, stop.signal);
    stop.abort();
    await expect(running).resolves.toBeUndefined();
    await expect(group({ a: throwing }, AbortSignal.abort())).resolves.toBeUndefined();
  });

  test('an error that is no Error is rethrown as it is', async () => {
    await expect(group({ a: () => Promise.reject<void>('plain') }, never())).rejects.toBe('plain');
  });
});
