// make soak [MINUTES=10] [AGENTS=500] [TASKS_PER_S=40] [SEED=…]: a simulated fleet works against a coordinator of its own
// while hosts crash and return. Samples every few seconds; ends with a verdict, and exit code 1 when something leaks,
// grows or is stuck.
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { createSimulatedFleet, disturb, feed, startSpread } from '../fleet/index.ts';
import { createScope } from '../scope.ts';
import { openStage } from '../stage.ts';
import { type Sample, takeSample } from './sample.ts';
import { judge } from './verdict.ts';

const SAMPLE_MS = 5_000;

const { MINUTES = '10', AGENTS = '500', TASKS_PER_S = '40', SEED = String(randomInt(1, 2 ** 31)) } = process.env;
const seed = Number(SEED);
const agents = Number(AGENTS);

const print = (sample: Sample): void => {
  const round = (values: Record<string, number>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Math.round(value * 10) / 10]));
  const { at_s, rss_mb, heap_mb, lag_ms, parked, connections, wal_mb } = sample;
  const numbers = round({ at_s, rss_mb, heap_mb, lag_ms, parked, connections, wal_mb });
  console.log(JSON.stringify({ ...numbers, dead: sample.dead, size_mb: round(sample.size_mb), stuck: sample.stuck }));
};

const scope = createScope();
const stage = await openStage(scope, { env: { FLOTILLA_RETENTION_EVERY_MS: '60000' } });
const samples: Sample[] = [];
try {
  const { url } = stage;
  const admin_token = stage.admin.token;
  console.log(`seed ${seed}: ${agents} agents for ${MINUTES} minutes, ${TASKS_PER_S} tasks per second`);
  const fleet = await createSimulatedFleet({ url, admin_token, agents, seed, slots: 2 });
  const began = performance.now();
  await startSpread(fleet, 10_000, seed);
  const fed = feed({ url, admin_token, per_s: Number(TASKS_PER_S), tally: fleet.tally, name: `soak-${seed}` });
  const every_ms = 500_000 / agents;
  const calm = disturb(fleet, { every_ms, away_min_ms: 500, away_max_ms: 150_000, for_good: 0.02 }, seed);
  for (let look = 1; performance.now() - began < Number(MINUTES) * 60_000; look++) {
    await sleep(Math.max(0, began + look * SAMPLE_MS - performance.now()));
    const sample = await takeSample(stage, began);
    samples.push(sample);
    print(sample);
  }
  calm();
  await fed.stop();
  console.log(JSON.stringify({ ...fleet.tally.counts, running: fleet.running() }));
  fleet.stop();
} finally {
  await scope.close();
}
const wrong = judge(samples);
console.log(wrong.length === 0 ? 'soak: nothing leaks, grows or is stuck' : `soak: ${wrong.join('; ')}`);
process.exitCode = wrong.length === 0 ? 0 : 1;
