import type { Bench } from '../bench.ts';
import type { SqlJob } from '../load/sql-loads.ts';
import { fillCeiling } from '../queue.ts';
import { perSecond, type Side } from '../report.ts';

type RawLoad = Pick<SqlJob, 'load' | 'batch' | 'chunk_bytes'>;

/** The same work by hand, at the number of clients with which it is fastest here (found by trying, half a run each). */
export const bestSql = async ({ stage, loader, scale }: Bench, load: RawLoad, queued = 0): Promise<Side> => {
  const run = async (clients: number, ms: number) => {
    await fillCeiling(stage.sql, queued);
    const bounds = { ms, count: Number.MAX_SAFE_INTEGER };
    return loader.run({ kind: 'sql', job: { ...load, database: stage.facts, clients, bounds } });
  };
  let best = { clients: 0, per_s: -1 };
  for (const clients of scale.sql_clients) {
    const { per_s } = await run(clients, scale.run_ms / 2);
    if (per_s > best.per_s) best = { clients, per_s };
  }
  return { name: 'raw SQL', run: async () => perSecond(await run(best.clients, scale.run_ms)) };
};
