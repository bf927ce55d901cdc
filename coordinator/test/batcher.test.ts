import { AppError } from '@flotilla/shared';
import { expect, test } from 'vitest';

import { createBatcher } from '../src/db/batcher.ts';
import type { Deps } from '../src/deps.ts';

const deps = {} as Deps; // handed through, never looked at

/** Runs of a batcher whose every run waits for `go`. */
const record = (answer: (item: number) => number, limits = { max: 4, lanes: 1 }) => {
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
  for (let item = 1; item <= 24; item++) void call(item);
  expect(runs.map(({ length }) => length)).toEqual([1]);
  void call(25);
  expect(runs.map(({ length }) => length)).toEqual([1, 24]);
  for (let item = 26; item <= 90; item++) void call(item);
  expect(runs).toHaveLength(2);
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
