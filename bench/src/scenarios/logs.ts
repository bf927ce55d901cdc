import type { Bench, Scenario } from '../bench.ts';
import { claim } from '../load/ask.ts';
import { openConnection } from '../load/connection.ts';
import { type Queue, fillQueue } from '../queue.ts';
import { compare, perSecond } from '../report.ts';
import type { Stage } from '../stage.ts';
import { bestSql } from './best-sql.ts';

const HOSTS = 8;

/** New tasks for the hosts, so that their logs are empty. */
const claimEach = async (stage: Stage, queue: Queue) => {
  await queue.refill();
  const connection = await openConnection(new URL(stage.url));
  const callers = await stage.agents(HOSTS);
  const held = [];
  for (const { token } of callers) {
    const { tasks } = await claim(connection, token, 1);
    held.push(tasks.map(({ id, epoch }) => ({ task_id: id, epoch })));
  }
  connection.close();
  return { callers, held };
};

/** Log upload of some hosts at a time, each into a task of its own, beside inserting the same bytes by hand. */
export const logs: Scenario = async function* (bench: Bench) {
  const { loader, scale, stage } = bench;
  const queue = await fillQueue(stage, HOSTS);
  const bounds = { ms: scale.run_ms, count: Number.MAX_SAFE_INTEGER };
  for (const [size, chunk_bytes] of [
    ['64 KB', 65_536],
    ['1 MB', 1_048_576],
  ] as const) {
    const run = async () => {
      const { callers, held } = await claimEach(stage, queue);
      const job = { load: 'log', url: stage.url, connections: HOSTS, callers, held, bounds, chunk_bytes } as const;
      return perSecond(await loader.run({ kind: 'http', job }));
    };
    const metric = {
      metric: `log upload in chunks of ${size}, ${HOSTS} hosts`,
      unit: 'MB/s',
      means: 'How much output of running tasks can be followed and kept at a time.',
    };
    const raw = await bestSql(bench, { load: 'log', chunk_bytes });
    yield await compare(metric, [{ name: 'Flotilla over HTTP', run }, raw], scale.rounds);
  }
};
