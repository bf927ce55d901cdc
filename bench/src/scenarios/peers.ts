import type { Bench, Scenario } from '../bench.ts';
import type { HttpJob } from '../load/http-loads.ts';
import { CONCURRENCY } from '../peers/peer.ts';
import type { PeerJob, PeerReply } from '../peers/main.ts';
import { hear, startNode } from '../programs.ts';
import { fillQueue } from '../queue.ts';
import { hasRedis, startRedis } from '../redis.ts';
import { atLeast, compare, type Goal, perSecond, type Sample, type Side } from '../report.ts';
import { within } from '../scope.ts';

type Phase = PeerJob['phase'];
type Contender = { name: string; run: (phase: Phase) => Promise<Sample> };

const DATABASE = 'peer';

/** One job in one process; a peer of Postgres gets an empty database each time. */
const contend = (bench: Bench, job: Pick<PeerJob, 'peer' | 'phase' | 'where'>) =>
  within(bench.scope, async (scope) => {
    const child = startNode(scope, 'peers/main');
    child.send({ ...job, bounds: { ms: bench.scale.run_ms, count: bench.scale.peer_jobs } } satisfies PeerJob);
    const reply = await hear<PeerReply>(child);
    if ('error' in reply) throw new Error(`${job.peer}: ${reply.error}`);
    return perSecond(reply.measured);
  });

const onPostgres = (bench: Bench, name: string, peer: PeerJob['peer']): Contender => ({
  name,
  run: async (phase) => {
    const { sql, facts } = bench.stage;
    await sql.unsafe(`drop database if exists ${DATABASE} with (force)`);
    await sql.unsafe(`create database ${DATABASE}`);
    return contend(bench, { peer, phase, where: { facts: { ...facts, database: DATABASE }, redis: null } });
  },
});

const onRedis = async (bench: Bench, name: string, aof: boolean): Promise<Contender> => {
  const { socket, flush } = await startRedis(bench.scope, aof);
  const where = { facts: bench.stage.facts, redis: socket };
  return {
    name,
    run: async (phase) => {
      await flush();
      return contend(bench, { peer: 'bullmqOnRedis', phase, where });
    },
  };
};

/** Ours, with a claim and a report over HTTP for each job, by as many agents as they run jobs at a time. */
const flotilla = async (bench: Bench): Promise<Contender> => {
  const { scale, loader, stage } = bench;
  const queue = await fillQueue(stage, scale.peer_jobs);
  const agents = await stage.agents(CONCURRENCY);
  const common = { url: stage.url, connections: CONCURRENCY };
  const bounds = { ms: scale.run_ms, count: Number.MAX_SAFE_INTEGER };
  const loads: Record<Phase, HttpJob> = {
    add: { ...common, load: 'create', callers: [stage.admin], bounds },
    drain: { ...common, load: 'cycle', callers: agents, bounds: { ...bounds, count: scale.peer_jobs } },
    both: { ...common, load: 'serve', callers: agents, bounds, creator: stage.admin },
  };
  return {
    name: 'Flotilla over HTTP',
    run: async (phase) => {
      await queue.refill(phase === 'drain' ? scale.peer_jobs : 0);
      return perSecond(await loader.run({ kind: 'http', job: loads[phase] }));
    },
  };
};

const PHASES: { phase: Phase; metric: string; means: string; goals: (redis: boolean) => Goal[] }[] = [
  {
    phase: 'add',
    metric: `trivial jobs, added one by one, ${CONCURRENCY} at a time`,
    means: 'How fast an application can hand work in.',
    goals: () => [],
  },
  {
    phase: 'drain',
    metric: `trivial jobs, drained from a full queue, ${CONCURRENCY} at a time`,
    means: 'How fast a backlog is worked off when the jobs themselves cost nothing.',
    goals: () => [],
  },
  {
    phase: 'both',
    metric: `trivial jobs, added and processed at once, ${CONCURRENCY} at a time`,
    means: 'What a busy day is like: a remote fleet beside libraries that run inside the application.',
    goals: (redis) => [
      ...(redis ? [atLeast(0.5, 'BullMQ on Redis, no fsync'), atLeast(0.8, 'BullMQ on Redis, AOF everysec')] : []),
      ...['BullMQ on Postgres', 'pg-boss', 'graphile-worker'].map((name) => atLeast(5, name)),
    ],
  },
];

/** The libraries that a builder would pick, in process, doing the same work. */
export const peers: Scenario = async function* (bench: Bench) {
  const redis = hasRedis();
  if (!redis)
    bench.note('BullMQ on Redis was left out: there is no redis-server (Debian: apt-get install redis-server).');
  const contenders = [
    await flotilla(bench),
    ...(redis ? [await onRedis(bench, 'BullMQ on Redis, no fsync', false)] : []),
    ...(redis ? [await onRedis(bench, 'BullMQ on Redis, AOF everysec', true)] : []),
    onPostgres(bench, 'BullMQ on Postgres', 'bullmqOnPostgres'),
    onPostgres(bench, 'pg-boss', 'pgBoss'),
    onPostgres(bench, 'graphile-worker', 'graphileWorker'),
  ];
  for (const { phase, metric, means, goals } of PHASES.filter((one) => bench.scale.peer_phases.includes(one.phase))) {
    const sides = contenders.map(({ name, run }): Side => ({ name, run: () => run(phase) }));
    yield await compare({ metric, unit: 'jobs/s', means, goals: goals(redis) }, sides, bench.scale.rounds);
  }
};
