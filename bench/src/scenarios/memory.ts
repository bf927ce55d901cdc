import { join } from 'node:path';

import { createClient } from '@flotilla/shared';

import type { Bench, Scenario } from '../bench.ts';
import { ADMIN_TOKEN, makeFolder, startCoordinator } from '../coordinator.ts';
import type { Caller } from '../load/ask.ts';
import { cpuWhile, rssOf } from '../proc.ts';
import { startBare } from '../programs.ts';
import { limits, type Metric, score } from '../report.ts';
import { longRounds } from '../scale.ts';
import { within } from '../scope.ts';
import { createRoster } from '../stage.ts';

const BEAT_MS = 10_000;

type Watched = { before_mb: number; after_mb: number; cpu: number; cpu_all: number };

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A whole idle fleet at one server, freshly started: its memory before and with them, and what it costs to hold them. */
const watch = async ({ loader, scale }: Bench, { url, pid }: { url: string; pid: number }, agents: Caller[]) => {
  await sleep(scale.settle_ms);
  const before_mb = rssOf(pid);
  let after_mb = 0;
  const ms = scale.settle_ms + scale.watch_ms;
  const load = loader.run({ kind: 'idle', job: { url, agents, beat_ms: Math.min(BEAT_MS, scale.watch_ms), ms } });
  const watching = sleep(scale.settle_ms).then(() =>
    cpuWhile(pid, async () => {
      await sleep(scale.watch_ms - 50);
      after_mb = rssOf(pid);
    }),
  );
  const [cpu] = await Promise.all([watching, load]);
  return { before_mb, after_mb, cpu: cpu.own, cpu_all: cpu.all };
};

/** Agents join once; each round starts the coordinator anew, on the same database. */
const prepareOurs = async (bench: Bench): Promise<() => Promise<Watched>> => {
  const data_dir = join(await makeFolder(bench.scope), 'data');
  const agents = await within(bench.scope, async (scope) => {
    const { url } = await startCoordinator(scope, data_dir);
    return createRoster(url, createClient({ base_url: url, token: ADMIN_TOKEN }))(bench.scale.idle_agents);
  });
  return () => within(bench.scope, async (scope) => watch(bench, await startCoordinator(scope, data_dir), agents));
};

const onBare = (bench: Bench): Promise<Watched> =>
  within(bench.scope, async (scope) => {
    const agents = Array.from({ length: bench.scale.idle_agents }, (_, id) => ({ id, token: `agent-${id}` }));
    return watch(bench, await startBare(scope, null), agents);
  });

/** The coordinator with a fleet that has nothing to do. */
export const memory: Scenario = async function* (bench: Bench) {
  const { idle_agents } = bench.scale;
  const rounds = longRounds(bench.scale);
  const seen: { ours: Watched[]; bare: Watched[] } = { ours: [], bare: [] };
  const onOurs = await prepareOurs(bench);
  for (let round = 0; round < rounds; round++) {
    seen.ours.push(await onOurs());
    seen.bare.push(await onBare(bench));
  }
  const fleet = `${idle_agents.toLocaleString('en-US')} parked and beating agents`;
  const side = (name: string, watched: Watched[], value: (one: Watched) => number) => ({
    name,
    samples: watched.map((one) => ({ value: value(one) })),
  });
  const table = (metric: Metric, value: (one: Watched) => number) =>
    score(metric, [side('Flotilla over HTTP', seen.ours, value), side('bare Hono server', seen.bare, value)]);
  const allowed = 120 + (idle_agents * 30) / 1024;
  const all = {
    metric: 'cpu of the coordinator with its Postgres, the same fleet',
    unit: '% of a core',
    means: 'What an idle fleet costs with the database.',
  };
  yield* [
    table(
      {
        metric: `memory (RSS) of the coordinator with ${fleet}`,
        unit: 'MB',
        means: 'What the coordinator needs for a fleet of this size, its Postgres not counted.',
        goals: [limits(`≤${Math.round(allowed)} MB`, ({ value }) => value <= allowed)],
      },
      ({ after_mb }) => after_mb,
    ),
    table(
      {
        metric: `memory per agent, of ${fleet}`,
        unit: 'KB',
        means: 'What each further host adds.',
        goals: [limits('≤30 KB', ({ value }) => value <= 30)],
      },
      ({ before_mb, after_mb }) => ((after_mb - before_mb) * 1024) / idle_agents,
    ),
    table(
      { metric: `cpu of the coordinator, ${fleet}`, unit: '% of a core', means: 'What an idle fleet costs.' },
      ({ cpu }) => cpu,
    ),
    score(all, [side('Flotilla over HTTP', seen.ours, ({ cpu_all }) => cpu_all)]),
  ];
};
