// make coordinators [ROUNDS=3]: what several coordinators on one Postgres claim per second, against one alone. The first is
// the stage's, whose bundled Postgres serves the others through its socket.
import { startCoordinator, makeFolder } from '../coordinator.ts';
import { startLoader } from '../loader.ts';
import { bundlePrograms } from '../programs.ts';
import { fillQueue } from '../queue.ts';
import { createScope } from '../scope.ts';
import { openStage } from '../stage.ts';

const CONNECTIONS = 64;
const QUEUED = 100_000;
const BOUNDS = { ms: 3_000, count: 1_000_000 };

const scope = createScope();
await bundlePrograms();
try {
  const stage = await openStage(scope);
  const { host, database, user } = stage.facts;
  const DATABASE_URL = `postgres:///${database}?host=${encodeURIComponent(host)}&user=${user}`;
  const urls = [stage.url];
  while (urls.length < 3)
    urls.push((await startCoordinator(scope, await makeFolder(scope), { env: { DATABASE_URL } })).url);
  const loaders = urls.map(() => startLoader(scope));
  const agents = await stage.agents(384);
  // A B C A B C, so that a machine that slows down slows all of them down.
  for (let round = 0; round < Number(process.env.ROUNDS ?? '3'); round++) {
    for (const count of [1, 2, 3]) {
      await fillQueue(stage, QUEUED);
      const measured = await Promise.all(
        loaders.slice(0, count).map((loader, index) => {
          const callers = agents.filter((_, at) => at % count === index);
          const connections = Math.floor(CONNECTIONS / count);
          const url = urls[index] ?? '';
          const job = { load: 'claim' as const, batch: 1, url, connections, callers, bounds: BOUNDS };
          return loader.run({ kind: 'http', job });
        }),
      );
      const per_s = measured.reduce((sum, one) => sum + one.per_s, 0);
      console.log(`coordinators ${count}: ${Math.round(per_s)} claims per s`);
    }
  }
} finally {
  await scope.close();
}
