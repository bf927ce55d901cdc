import type { Bench, Scenario } from '../bench.ts';
import { startBare } from '../programs.ts';
import { fillQueue } from '../queue.ts';
import { compare, halfTime, limits } from '../report.ts';

/** Readers of the event stream, while tasks are created at a steady rate. */
export const stream: Scenario = async function* ({ scope, stage, loader, scale }: Bench) {
  const bare = await startBare(scope, null);
  const emptied = await fillQueue(stage, 0);
  const { readers, events_per_s, run_ms } = scale;
  const run = (url: string) => async () => {
    await emptied.refill();
    const job = { url, person: stage.admin, readers, events_per_s, ms: run_ms };
    return halfTime(await loader.run({ kind: 'stream', job }));
  };
  const metric = {
    metric: `${readers} readers of the event stream at ${events_per_s} events/s, from the POST that caused it`,
    unit: 'ms',
    means: 'How far behind the fleet a dashboard is when everybody looks at it.',
    goals: [limits('p99 ≤100 ms', ({ p99_ms }) => (p99_ms ?? Infinity) <= 100)],
  };
  const sides = [
    { name: 'Flotilla over HTTP', run: run(stage.url) },
    { name: 'broadcast from memory', run: run(bare.url) },
  ];
  yield await compare(metric, sides, scale.rounds);
};
