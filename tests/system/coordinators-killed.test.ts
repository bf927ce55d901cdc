import { feed, startSpread } from '@flotilla/bench';
import { describe, it } from 'vitest';

import { startBalancer } from '../lib/balancer.ts';
import { ADMIN_TOKEN } from '../lib/coordinator.ts';
import { createCoordinators } from '../lib/coordinators.ts';
import { auditInvariants, auditRunning } from '../lib/invariants.ts';
import { createRandom, isLong, pickSeed } from '../lib/random.ts';
import { createSightings, expectEachOnce, simulate } from '../lib/simulated.ts';
import { elapse, until } from '../lib/until.ts';

const AGENTS = isLong ? 500 : 60;
const KILLS = isLong ? 30 : 3;
const [PAUSE_MS, AWAY_MS] = isLong ? [10_000, 3_000] : [1_000, 300];

describe('R17: two coordinators behind one address', () => {
  it(
    'one is killed again and again under load: nothing is lost, nothing is done twice',
    { timeout: 900_000 },
    async (test) => {
      const random = createRandom(pickSeed('R17'));
      const both = await createCoordinators(2, { FLOTILLA_HEARTBEAT_MS: '1000', FLOTILLA_LEASE_MS: '300000' });
      test.onTestFinished(async () => {
        if (test.task.result?.state === 'fail') console.error(both.logs());
        await both.close();
      }, 60_000);
      const balancer = await startBalancer(both.all.map(({ url }) => url));
      test.onTestFinished(() => balancer.close());
      const sightings = createSightings();
      const created: number[] = [];
      const { url } = balancer;
      const fleet = await simulate(url, {
        agents: AGENTS,
        seed: random.seed,
        slots: 2,
        min_ms: 0,
        max_ms: 1_000,
        ...sightings,
      });
      test.onTestFinished(() => fleet.stop());
      await startSpread(fleet, 1_000, random.seed);
      const options = { url, admin_token: ADMIN_TOKEN, per_s: 60, tally: fleet.tally, name: 'r17' };
      const fed = feed(options, (id) => created.push(id));
      for (let kill = 0; kill < KILLS; kill++) {
        const [victim, other] = kill % 2 === 0 ? both.all : both.all.toReversed();
        const before = fleet.tally.counts.tasks_completed;
        await until('work to go on', () => fleet.tally.counts.tasks_completed > before + 20);
        await elapse(random.between(0, PAUSE_MS));
        await victim?.kill();
        await elapse(AWAY_MS);
        if (other !== undefined) await auditRunning(other);
        await victim?.start();
      }
      await fed.stop();
      await expectEachOnce(both.sql, created, sightings, 60_000);
      for (const one of both.all) await auditInvariants(one);
    },
  );
});
