import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import type { Bench, Scenario } from '../bench.ts';
import { makeFolder, startAgentd } from '../coordinator.ts';
import { cpuWhile, pssOf, rssOf } from '../proc.ts';
import { hear, startNode } from '../programs.ts';
import { limits, type Metric, score } from '../report.ts';
import { longRounds } from '../scale.ts';
import { type Scope, within } from '../scope.ts';
import type { Stage } from '../stage.ts';

type Watched = { rss: number; pss: number; cpu: number };

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Joined, parked and beating, with nothing to do. */
const idleAgentd = async (scope: Scope, { url, client }: Stage): Promise<number> => {
  const { token = '' } = await client.join_tokens.create({ body: { slots: 1 } });
  const state_dir = join(await makeFolder(scope), 'agentd');
  const name = { FLOTILLA_AGENT_NAME: `idle-${randomUUID()}` }; // each round joins another
  const env = { FLOTILLA_URL: url, FLOTILLA_JOIN_TOKEN: token, FLOTILLA_STATE_DIR: state_dir, ...name };
  const { pid } = await startAgentd(scope, env);
  return pid;
};

const idleNode = async (scope: Scope, name: 'programs/empty' | 'programs/parts'): Promise<number> => {
  const child = startNode(scope, name);
  await hear(child);
  return child.pid ?? 0;
};

const PROGRAMS: { name: string; start: (scope: Scope, stage: Stage) => Promise<number> }[] = [
  { name: 'agentd', start: idleAgentd },
  { name: 'empty Node process', start: (scope) => idleNode(scope, 'programs/empty') },
  { name: 'node:http, pino, execa', start: (scope) => idleNode(scope, 'programs/parts') },
];

/** All of them side by side: they do nothing, so they do not disturb one another. */
const watchAll = async (scope: Scope, { stage, scale }: Bench, seen: Map<string, Watched[]>): Promise<void> => {
  const pids = await Promise.all(PROGRAMS.map(({ start }) => start(scope, stage)));
  // Some seconds after its start V8 tidies up what starting left behind, which alone takes 20 to 50 ms.
  await sleep(scale.agentd_settle_ms);
  const cpus = await Promise.all(pids.map((pid) => cpuWhile(pid, () => sleep(scale.agentd_watch_ms))));
  for (const [index, { name }] of PROGRAMS.entries()) {
    const pid = pids[index] ?? 0;
    seen.get(name)?.push({ rss: rssOf(pid), pss: pssOf(pid), cpu: cpus[index]?.own ?? Number.NaN });
  }
};

/** agentd with nothing to do, beside Node with nothing to do and beside the parts that it is made of. */
export const agentd: Scenario = async function* (bench: Bench) {
  const seen = new Map<string, Watched[]>(PROGRAMS.map(({ name }) => [name, []]));
  for (let round = 0; round < longRounds(bench.scale); round++)
    await within(bench.scope, (scope) => watchAll(scope, bench, seen));
  const table = (metric: Metric, value: (one: Watched) => number) =>
    score(
      metric,
      [...seen].map(([name, watched]) => ({ name, samples: watched.map((one) => ({ value: value(one) })) })),
    );
  yield* [
    table(
      {
        metric: 'memory (RSS) of agentd with nothing to do',
        unit: 'MB',
        means: 'What a host gives up for being in the fleet.',
        goals: [limits('≤55 MB', ({ value }) => value <= 55)],
      },
      ({ rss }) => rss,
    ),
    table(
      {
        metric: 'the same without what it shares with other Node processes (PSS)',
        unit: 'MB',
        means: 'The same on a host that runs Node anyway.',
      },
      ({ pss }) => pss,
    ),
    table(
      {
        metric: 'cpu of agentd with nothing to do',
        unit: '% of a core',
        means: 'What waiting for work costs a host.',
        goals: [limits('≤0.3 %', ({ value }) => value <= 0.3)],
      },
      ({ cpu }) => cpu,
    ),
  ];
};
