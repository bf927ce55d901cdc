import type { Bench, Scenario } from '../bench.ts';
import type { Measured } from '../load/measure.ts';
import { agentTags, fillQueue, type Queue } from '../queue.ts';
import { atLeast, compare, type Goal, perSecond, type Side } from '../report.ts';
import { openStage, type Stage } from '../stage.ts';
import { bestSql } from './best-sql.ts';

const CONNECTIONS = 64;

type Load = { load: 'claim' | 'cycle'; batch: number };
/** A coordinator with a queue of one size, for the sizes alternate and none is filled twice. */
type Place = { stage: Stage; queue: Queue; queued: number; classes: number };

const fillPlace = async ({ scale }: Bench, stage: Stage, queued: number, classes = 1): Promise<Place> => {
  await stage.agents(scale.agents, agentTags(classes));
  return { stage, queue: await fillQueue(stage, queued, classes), queued, classes };
};

/** Runs until the time is over or the queue is empty; a small one is filled again and again. */
const ours =
  ({ loader, scale }: Bench, place: Place, load: Load, bursts: number) =>
  async () => {
    const callers = await place.stage.agents(scale.agents, agentTags(place.classes));
    const samples: Measured[] = [];
    for (let burst = 0; burst < bursts; burst++) {
      const bounds = { ms: scale.run_ms, count: Number.MAX_SAFE_INTEGER };
      const job = { ...load, url: place.stage.url, connections: CONNECTIONS, callers, bounds };
      samples.push(await loader.run({ kind: 'http', job }));
      await place.queue.refill();
    }
    const total = (pick: 'count' | 'seconds') => samples.reduce((sum, sample) => sum + sample[pick], 0);
    const [first] = samples;
    if (first === undefined) throw new Error('no burst was run');
    return { ...perSecond(first), value: total('count') / total('seconds') };
  };

const LOADS: (Load & { metric: string; unit: string; floor: number; means: string })[] = [
  {
    load: 'claim',
    batch: 1,
    metric: 'claims, one task each',
    unit: 'claims/s',
    floor: 0.8,
    means: 'How many free hosts get a task in a second when all of them ask at once.',
  },
  {
    load: 'claim',
    batch: 32,
    metric: 'claims, up to 32 tasks each',
    unit: 'tasks/s',
    floor: 0.5,
    means: 'How fast a backlog reaches hosts with many free slots.',
  },
  {
    load: 'cycle',
    batch: 1,
    metric: 'claim, then complete',
    unit: 'tasks/s',
    floor: 0.8,
    means: 'How many tasks a second one coordinator can bring from queued to done.',
  },
];

/** Claiming alone, and claiming with the report: against the same statements by hand, and against itself with more queued. */
export const claims: Scenario = async function* (bench: Bench) {
  const { small, usual, large } = bench.scale.queued;
  const open = () => openStage(bench.scope);
  const [few, normal, many, varied] = await Promise.all([
    open().then((stage) => fillPlace(bench, stage, small)),
    fillPlace(bench, bench.stage, usual),
    open().then((stage) => fillPlace(bench, stage, large)),
    open().then((stage) => fillPlace(bench, stage, usual, bench.scale.classes)),
  ]);
  for (const { metric, unit, floor, means, ...load } of LOADS) {
    const side = (name: string, place: Place, bursts = 1): Side => ({ name, run: ours(bench, place, load, bursts) });
    const queued = (place: Place) => `ours with ${place.queued.toLocaleString('en-US')} queued`;
    const diverse = `ours with ${varied.classes} queue classes`;
    // A batch of 32 for everybody is more than the small queue holds.
    const base = load.batch === 1 ? few : normal;
    const goals: Goal[] = [atLeast(floor, 'raw SQL'), itself(queued(many), base === few ? queued(few) : null, 0.75)];
    goals.push(itself(diverse, null, 0.8));
    const sides = [
      side('Flotilla over HTTP', normal),
      await bestSql(bench, load, usual),
      ...(base === few ? [side(queued(few), few, bench.scale.bursts)] : []),
      side(queued(many), many),
      side(diverse, varied),
    ];
    const title = `${metric}; ${usual.toLocaleString('en-US')} queued, ${CONNECTIONS} connections`;
    yield await compare({ metric: title, unit, means, goals }, sides, bench.scale.rounds);
  }
};

/** One of our sides against another of ours; null is the first. */
const itself = (name: string, base: string | null, times: number): Goal => ({
  text: `${name} ≥${times} of ${base ?? 'the usual'}`,
  met: ({ sides }) => {
    const value = (wanted: string | null) =>
      (wanted === null ? sides[0] : sides.find((side) => side.name === wanted))?.value ?? Number.NaN;
    return value(name) / value(base) >= times;
  },
});
