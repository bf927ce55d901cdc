import { AppError } from '@flotilla/shared';
import { expect, test } from 'vitest';

import { createBatcher } from '../src/db/batcher.ts';
import type { Deps } from '../src/deps.ts';

const deps = {} as Deps; // handed through, never looked at

/** Runs of a batcher whose every run waits for `go`. */
const record = (
  answer: (item: number) => number,
  limits: Parameters<typeof createBatcher<number, number>>[1] = { max: 4, lanes: 1 },
) => {
  const runs: number[][] = [];
  let go = () => {};
  const call = createBatcher(async (_deps, items: number[]) => {
    runs.push(items);
    await new Promise<void>((resolve) => (go = resolve));
    return items.map(answer);
  }, limits);
  const release = async () => {
    go();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { runs, call: (item: number) => call(deps, item), release };
};

test('runs the first alone and what came meanwhile together, up to the maximum', async () => {
  const { runs, call, release } = record((item) => item * 10);
  const answers = Promise.all([1, 2, 3, 4, 5, 6].map(call));
  for (let run = 0; run < 3; run++) await release();
  expect(await answers).toEqual([10, 20, 30, 40, 50, 60]);
  expect(runs).toEqual([[1], [2, 3, 4, 5], [6]]);
});

test('opens a second lane when enough calls wait for the first', async () => {
  const { runs, call } = record((item) => item, { max: 100, lanes: 2 });
  for (let item = 1; item <= 48; item++) void call(item);
  expect(runs.map(({ length }) => length)).toEqual([1]);
  void call(49);
  expect(runs.map(({ length }) => length)).toEqual([1, 48]);
  for (let item = 50; item <= 150; item++) void call(item);
  expect(runs).toHaveLength(2);
});

test('heavy calls fill a batch, and open a lane, by their weight; one that is too heavy runs alone', async () => {
  const weighed = { max: 100, lanes: 2, weigh: (item: number) => item };
  const { runs, call, release } = record((item) => item, weighed);
  const answers = [1, 40, 300, 7, 30, 60, 20].map(call);
  expect(runs).toEqual([[1], [40]]);
  for (let run = 0; run < 6; run++) await release();
  void Promise.all(answers);
  expect(runs.slice(2)).toEqual([[300], [7, 30, 60], [20]]);
});

/** Runs of a batcher that leaves space between them, and when each began. */
const recordSpaced = (space: { ms: number; enough: number }) => {
  const began: number[] = [];
  const runs: number[][] = [];
  const call = createBatcher(
    async (_deps, items: number[]) => {
      began.push(performance.now());
      runs.push(items);
      return items;
    },
    { max: 100, lanes: 1, space },
  );
  return { began, runs, all: (items: number[]) => Promise.all(items.map((item) => call(deps, item))) };
};

test('calls that nobody waits for are gathered for a while', async () => {
  const { began, runs, all } = recordSpaced({ ms: 100, enough: 4 });
  await all([1]);
  expect(await all([2, 3, 4])).toEqual([2, 3, 4]);
  expect(runs).toEqual([[1], [2, 3, 4]]);
  expect((began[1] ?? 0) - (began[0] ?? 0)).toBeGreaterThan(95);
});

test('calls that nobody waits for begin at once when there are enough', async () => {
  const { runs, all } = recordSpaced({ ms: 3_600_000, enough: 4 });
  await all([1]);
  await all([2, 3, 4, 5, 6]);
  expect(runs).toEqual([[1], [2, 3, 4, 5, 6]]);
});

const refused = (code: string) => Object.assign(new Error(`refused ${code}`), { code });

test.each([
  ['a value that Postgres refuses', refused('22003')],
  ['a constraint', refused('23503')],
  ['a verb that says no', new AppError('not_found')],
])('%s fails its own request only', async (_name, error) => {
  const { call, release } = record((item) => {
    if (item === 3) throw error;
    return item;
  });
  const outcomes = Promise.allSettled([1, 2, 3, 4].map(call));
  for (let run = 0; run < 5; run++) await release();
  expect((await outcomes).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
});

test('an outage fails the whole batch at once: it does not ask again for each', async () => {
  const { runs, call, release } = record((item) => {
    if (item > 1) throw refused('ECONNREFUSED');
    return item;
  });
  const outcomes = Promise.allSettled([1, 2, 3, 4].map(call));
  for (let run = 0; run < 2; run++) await release();
  expect((await outcomes).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
  expect(runs).toHaveLength(2);
});
