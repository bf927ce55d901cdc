import type { Bench, Scenario } from '../bench.ts';
import { claim, type Held } from '../load/ask.ts';
import { openConnection } from '../load/connection.ts';
import type { HttpJob } from '../load/http-loads.ts';
import { startBare } from '../programs.ts';
import { fillCeiling, fillQueue } from '../queue.ts';
import { atLeast, compare, limits, perSecond, type Side } from '../report.ts';
import { bestSql } from './best-sql.ts';

const CONNECTIONS = 64;
const TASKS_PER_BEAT = 10;
/** What beats 10 s apart come to with a lease of 90 s. Here they come much faster, and no lease would ever be due. */
const BEATS_PER_RENEWAL = 3;

/** Every agent holds this many tasks, as its beats will say. */
const holdTasks = async (bench: Bench, agents: { token: string }[]): Promise<Held[][]> => {
  const { stage } = bench;
  await fillQueue(stage, agents.length * TASKS_PER_BEAT);
  const connection = await openConnection(new URL(stage.url));
  const held: Held[][] = [];
  for (const { token } of agents) {
    const { tasks } = await claim(connection, token, TASKS_PER_BEAT);
    held.push(tasks.map(({ id, epoch }) => ({ task_id: id, epoch })));
  }
  connection.close();
  return held;
};

/** Creating and beating, beside the statement by hand and beside HTTP that does nothing or one read. */
export const requests: Scenario = async function* (bench: Bench) {
  const { scope, loader, scale, stage } = bench;
  const bare = await startBare(scope, stage.facts);
  await fillCeiling(stage.sql, 0); // what `read` reads
  const agents = await stage.agents(scale.agents);
  const bounds = { ms: scale.run_ms, count: Number.MAX_SAFE_INTEGER };
  const over = (name: string, job: Pick<HttpJob, 'load' | 'url' | 'callers' | 'held' | 'renewing'>): Side => ({
    name,
    run: async () => perSecond(await loader.run({ kind: 'http', job: { ...job, connections: CONNECTIONS, bounds } })),
  });
  const ceilings = [
    over('Hono, JSON echo', { load: 'echo', url: bare.url, callers: [stage.admin] }),
    over('Hono, one read', { load: 'read', url: bare.url, callers: [stage.admin] }),
  ];
  const emptied = await fillQueue(stage, 0);
  const create = over('Flotilla over HTTP', { load: 'create', url: stage.url, callers: [stage.admin] });
  const created = await compare(
    {
      metric: `tasks created, ${CONNECTIONS} connections`,
      unit: 'tasks/s',
      means: 'How fast tasks can be handed in, each answered when it is on disk.',
      goals: [atLeast(1, 'raw SQL')],
    },
    [
      { ...create, run: () => emptied.refill().then(() => create.run()) },
      await bestSql(bench, { load: 'create' }),
      ...ceilings,
    ],
    scale.rounds,
  );
  const held = await holdTasks(bench, agents);
  const beat = { load: 'beat', url: stage.url, callers: agents, held } as const;
  const beaten = await compare(
    {
      metric: `beats of agents with ${TASKS_PER_BEAT} running tasks, ${CONNECTIONS} connections`,
      unit: 'beats/s',
      means:
        'A fleet beats once per host and 10 s: ten times this number is how many hosts one coordinator keeps. Every third beat renews the leases, as in service.',
      goals: [atLeast(0.3, 'raw SQL'), limits('≥10 k/s', ({ value }) => value >= 10_000)],
    },
    [
      over('Flotilla over HTTP', { ...beat, renewing: BEATS_PER_RENEWAL }),
      over('ours when every beat renews', { ...beat, renewing: 1 }),
      await bestSql(bench, { load: 'beat' }),
      ...ceilings,
    ],
    scale.rounds,
  );
  yield* [created, beaten];
};
