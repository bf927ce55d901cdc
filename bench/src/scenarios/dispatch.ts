import { readFileSync } from 'node:fs';

import type { Bench, Scenario } from '../bench.ts';
import type { Caller } from '../load/ask.ts';
import { startBare } from '../programs.ts';
import { fillQueue } from '../queue.ts';
import { atMost, compare, halfTime, limits } from '../report.ts';
import { openStage } from '../stage.ts';

/** Node raises its soft limit of open files to the hard one itself; only that one is in the way. */
const openFiles = (): number => {
  try {
    return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity);
  } catch {
    return Infinity; // no such file on this system
  }
};

/** From POST to the parked long poll that holds the task, beside the same hand-over in the memory of a bare server. */
export const dispatch: Scenario = async function* ({ scope, loader, scale, note }: Bench) {
  const stage = await openStage(scope); // of its own: thousands of agents are not the others' concern
  const bare = await startBare(scope, null);
  const emptied = await fillQueue(stage, 0);
  const measure = async (url: string, agents: Caller[], tasks: number, at_once: number) => {
    await emptied.refill();
    return loader.run({ kind: 'dispatch', job: { url, person: stage.admin, agents, tasks, at_once } });
  };
  for (const parked of scale.parked) {
    if (openFiles() < parked + 500) {
      note(`Dispatch to ${parked} parked agents was left out: this system lets a process open ${openFiles()} files.`);
      continue;
    }
    const agents = await stage.agents(parked);
    const run = (url: string) => async () => halfTime(await measure(url, agents, scale.dispatches, 1));
    const goal = limits('p50 ≤3 ms, p99 ≤15 ms', ({ value, p99_ms }) => value <= 3 && (p99_ms ?? Infinity) <= 15);
    const metric = {
      metric: `dispatch to one of ${parked.toLocaleString('en-US')} parked agents`,
      unit: 'ms',
      means: 'How long a task waits when a host is free: from the request that creates it to the host that has it.',
      goals: [goal, atMost(5, 'hand-over in memory')],
    };
    const sides = [
      { name: 'Flotilla over HTTP', run: run(stage.url) },
      { name: 'hand-over in memory', run: run(bare.url) },
    ];
    yield await compare(metric, sides, scale.rounds);
  }
  const agents = await stage.agents(scale.burst);
  const last = (url: string) => async () => {
    const { max_ms } = await measure(url, agents, scale.burst, scale.burst);
    return { value: max_ms };
  };
  const metric = {
    metric: `burst of ${scale.burst.toLocaleString('en-US')} tasks to as many parked agents, the last one`,
    unit: 'ms',
    means: 'How long until a whole fleet that was idle is at work.',
  };
  const sides = [
    { name: 'Flotilla over HTTP', run: last(stage.url) },
    { name: 'hand-over in memory', run: last(bare.url) },
  ];
  yield await compare(metric, sides, scale.rounds);
};
