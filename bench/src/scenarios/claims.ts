import type { Loader } from '../loader.ts';
import { fillCeiling, fillQueue } from '../queue.ts';
import { compare, type Result } from '../report.ts';
import type { Agent, Stage } from '../stage.ts';

/** A run of each side; short, for there are many. */
export const BOUNDS = { ms: 3_000, count: 1_000_000 };
/** What 64 agents ask at the same time; their number is larger, so that nobody holds more tasks than a host would. */
const CONNECTIONS = 64;
/** The client count at which raw SQL is fastest on two cores. */
const SQL_CLIENTS = 16;

export type Bench = { stage: Stage; loader: Loader; agents: Agent[]; rounds: number };

/** Claiming alone, and claiming with the report, over HTTP against the same statements by hand. */
export const claims = async ({ stage, loader, agents, rounds }: Bench): Promise<Result[]> => {
  const results: Result[] = [];
  for (const [load, batch] of [
    ['claim', 1],
    ['claim', 32],
    ['cycle', 1],
  ] as const) {
    const queued = 100_000;
    const ours = async () => {
      await fillQueue(stage, queued);
      const job = { load, batch, url: stage.url, connections: CONNECTIONS, callers: agents, bounds: BOUNDS };
      return loader.run({ kind: 'http', job });
    };
    const raw = async () => {
      await fillCeiling(stage.sql, queued);
      const job = { load, batch, database: stage.facts, clients: SQL_CLIENTS, bounds: BOUNDS };
      return loader.run({ kind: 'sql', job });
    };
    const sides = [
      { name: 'Flotilla over HTTP', run: ours },
      { name: 'raw SQL', run: raw },
    ];
    results.push(await compare(`${load}, batch ${batch}, ${queued} queued`, 'per s', sides, rounds));
  }
  return results;
};
