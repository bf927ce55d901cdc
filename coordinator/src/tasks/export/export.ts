import type { api, RouteInput, Task } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Download } from '../../download.ts';
import type { Principal } from '../../principal.ts';
import { watchRights } from '../../tokens/authenticate.ts';
import { listSlice } from '../queries.ts';
import { searchQuery } from '../search/query.ts';
import { csvHead, csvLine } from './csv.ts';

/** Tasks per query: a few may be large, and no more than these are in memory at once. */
const SLICE = 100;

type Query = RouteInput<typeof api.tasks.exportAll>['query'];

/**
 * All tasks that match, newest first, in slices: each its own short query, asked for when the reader took the one before.
 * What changes meanwhile may show either way; nothing is there twice, since slices go by falling ids.
 */
export const exportTasks = async (deps: Deps, principal: Principal, query: Query): Promise<Download> => {
  const { sql } = deps.db;
  const words = query.search === undefined ? undefined : await searchQuery(sql, query.search);
  const csv = query.format === 'csv';
  const slices = readSlices(deps, principal, { ...query, words });
  return {
    content_type: csv ? 'text/csv; charset=utf-8; header=present' : 'application/json',
    filename: csv ? 'tasks.csv' : 'tasks.json',
    body: encode(csv ? toCsv(slices) : toJson(slices)),
  };
};

async function* readSlices(
  deps: Deps,
  principal: Principal,
  filters: Query & { words: string | null | undefined },
): AsyncGenerator<Task[]> {
  const mayRead = watchRights(deps, principal);
  let before = Number.MAX_SAFE_INTEGER;
  for (;;) {
    // An answer that breaks off is not taken for a whole one; one that ends would be.
    if (!(await mayRead())) throw new Error('the token of an export was revoked or has expired');
    const tasks = await listSlice(deps, principal, { ...filters, before, limit: SLICE });
    if (tasks.length > 0) yield tasks;
    before = tasks.at(-1)?.id ?? 0;
    if (tasks.length < SLICE) return;
  }
}

async function* toCsv(slices: AsyncIterable<Task[]>): AsyncGenerator<string> {
  yield csvHead();
  for await (const tasks of slices) yield tasks.map(csvLine).join('');
}

async function* toJson(slices: AsyncIterable<Task[]>): AsyncGenerator<string> {
  let separator = '{"tasks":[\n';
  for await (const tasks of slices) {
    yield separator + tasks.map((task) => JSON.stringify(task)).join(',\n');
    separator = ',\n';
  }
  yield separator === ',\n' ? '\n]}\n' : `${separator}]}\n`;
}

async function* encode(pieces: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const piece of pieces) yield encoder.encode(piece);
}
