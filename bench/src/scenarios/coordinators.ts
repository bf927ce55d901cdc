import type { Scenario } from '../bench.ts';
import { makeFolder, startCoordinator } from '../coordinator.ts';
import { startLoader } from '../loader.ts';
import { fillQueue } from '../queue.ts';
import { compare } from '../report.ts';

const CONNECTIONS = 64;
const MOST = 3;

const METRIC = {
  metric: 'claims by several coordinators on one Postgres',
  unit: 'claims/s',
  means: 'What a second coordinator brings besides staying up: little, where they share the cores with Postgres.',
};

/** One, two and three coordinators; the first is the stage's, whose bundled Postgres serves the others by its socket. */
export const coordinators: Scenario = async function* ({ scope, stage, scale }) {
  const { host, database, user } = stage.facts;
  const DATABASE_URL = `postgres:///${database}?host=${encodeURIComponent(host)}&user=${user}`;
  const urls = [stage.url];
  while (urls.length < MOST)
    urls.push((await startCoordinator(scope, await makeFolder(scope), { env: { DATABASE_URL } })).url);
  const loaders = urls.map(() => startLoader(scope));
  const agents = await stage.agents(scale.agents);
  const queue = await fillQueue(stage, scale.queued.usual);
  const run = (count: number) => async () => {
    const measured = await Promise.all(
      loaders.slice(0, count).map((loader, index) => {
        const callers = agents.filter((_, at) => at % count === index);
        const bounds = { ms: scale.run_ms, count: Number.MAX_SAFE_INTEGER };
        const connections = Math.floor(CONNECTIONS / count);
        const job = { load: 'claim' as const, batch: 1, url: urls[index] ?? '', connections, callers, bounds };
        return loader.run({ kind: 'http', job });
      }),
    );
    await queue.refill();
    return { value: measured.reduce((sum, { per_s }) => sum + per_s, 0) };
  };
  const sides = [1, 2, 3].map((count) => ({ name: count === 1 ? 'one' : `${count} coordinators`, run: run(count) }));
  yield await compare(METRIC, sides, scale.rounds);
};
