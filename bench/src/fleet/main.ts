// make fleet [AGENTS=1000] [SECONDS=60] [TASKS_PER_S=50] [SEED=…] [URL=… ADMIN_TOKEN=…]: a simulated fleet works against a
// coordinator of its own, or the one that URL names, and says every five seconds what it does.
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { ADMIN_TOKEN as OWN_TOKEN } from '../coordinator.ts';
import { createScope } from '../scope.ts';
import { openStage } from '../stage.ts';
import { disturb } from './disturb.ts';
import { feed } from './feed.ts';
import { createSimulatedFleet, startSpread } from './fleet.ts';

const { AGENTS = '1000', SECONDS = '60', TASKS_PER_S = '50', SEED = String(randomInt(1, 2 ** 31)) } = process.env;
const seed = Number(SEED);
const scope = createScope();
const url = process.env.URL ?? (await openStage(scope)).url;
const admin_token = process.env.ADMIN_TOKEN ?? OWN_TOKEN;

try {
  console.log(`seed ${seed}: ${AGENTS} agents register at ${url}`);
  const fleet = await createSimulatedFleet({ url, admin_token, agents: Number(AGENTS), seed, slots: 2 });
  await startSpread(fleet, 10_000, seed);
  const { counts } = fleet.tally;
  const fed = feed({ url, admin_token, per_s: Number(TASKS_PER_S), tally: fleet.tally, name: `sim-${seed}` });
  const every_ms = 200_000 / Number(AGENTS);
  const calm = disturb(fleet, { every_ms, away_min_ms: 1_000, away_max_ms: 60_000, for_good: 0.1 }, seed);
  const end = performance.now() + Number(SECONDS) * 1000;
  while (performance.now() < end) {
    await sleep(Math.min(5_000, Math.max(0, end - performance.now())));
    const rss_mb = Math.round(process.memoryUsage.rss() / 1e6);
    console.log(JSON.stringify({ running: fleet.running(), ...counts, simulator_rss_mb: rss_mb }));
  }
  calm();
  await fed.stop();
  fleet.stop();
} finally {
  await scope.close();
}
