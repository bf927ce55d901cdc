import { busiest, feed, startSpread } from '@flotilla/bench';
import { describe, expect, it } from 'vitest';

import { ADMIN_TOKEN } from '../lib/coordinator.ts';
import { openFleet } from '../lib/fleet.ts';
import { openDatabase } from '../lib/invariants.ts';
import { isLong, pickSeed } from '../lib/random.ts';
import { createSightings, expectEachOnce, simulate } from '../lib/simulated.ts';
import { elapse, until } from '../lib/until.ts';

/**
 * An outage and its limits. In the gate a fleet of hundreds misses the coordinator for the shortest time; the long form has
 * as many agents as two connections each and a limit of 20 000 open files allow.
 */
type Outage = { agents: number; away_ms: number; back_ms: number; tasks_per_s: number };

const OUTAGES: Outage[] = isLong
  ? [
      { agents: 9_000, away_ms: 5_000, back_ms: 30_000, tasks_per_s: 20 },
      { agents: 9_000, away_ms: 60_000, back_ms: 60_000, tasks_per_s: 20 },
      { agents: 9_000, away_ms: 600_000, back_ms: 300_000, tasks_per_s: 20 },
    ]
  : [{ agents: 300, away_ms: 5_000, back_ms: 30_000, tasks_per_s: 20 }];

/** The protocol's own: with less, a fleet would come back within so few seconds that one stall of the machine is a peak. */
const HEARTBEAT_MS = 10_000;

/**
 * A fleet that comes back evenly opens two connections per agent within a heartbeat. In no second may it try for more than
 * this many times that; all at once would be ten.
 */
const PEAK_TO_MEAN = 3;

const parkedAt = async (url: string): Promise<number> =>
  Number(/^flotilla_parked_claims (\d+)$/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]);

describe('R15: the coordinator is away under a fleet', () => {
  it.for(OUTAGES)(
    '$agents agents, $away_ms ms: all come back, evenly; no storm of errors, nothing lost',
    { timeout: 1_500_000 },
    async ({ agents, away_ms, back_ms, tasks_per_s }, test) => {
      const seed = pickSeed('R15');
      const real = await openFleet(test, {
        FLOTILLA_HEARTBEAT_MS: String(HEARTBEAT_MS),
        FLOTILLA_SUSPECT_MS: String(2.5 * HEARTBEAT_MS),
        FLOTILLA_LOST_MS: String(4.5 * HEARTBEAT_MS),
        FLOTILLA_RESCAN_MS: '5000',
        // Nothing may be given to anybody else here: what is executed again counts as lost work.
        FLOTILLA_LEASE_MS: '900000',
        ...(isLong
          ? { FLOTILLA_GAP_MS: '20000', FLOTILLA_GAP_WAIT_MIN_MS: '60000', FLOTILLA_GAP_WAIT_MAX_MS: '300000' }
          : {}),
      });
      const { coordinator } = real;
      const { url } = coordinator;
      const sightings = createSightings();
      const created: number[] = [];
      // Programs end before, during and after the outage.
      const fleet = await simulate(url, { agents, seed, slots: 1, min_ms: 100, max_ms: 4_000, ...sightings });
      test.onTestFinished(() => fleet.stop());
      await startSpread(fleet, HEARTBEAT_MS, seed);
      await until('the fleet to park', async () => (await parkedAt(url)) === agents, 60_000);
      const complete = performance.now();
      await until('all to be told how many they are', () => fleet.answeredSince(complete) === agents, 60_000);
      const { tally } = fleet;
      const options = { url, admin_token: ADMIN_TOKEN, per_s: tasks_per_s, tally, name: 'r15' };
      const fed = feed(options, (id) => created.push(id));
      await until('work to be under way', () => tally.counts.tasks_completed > 20);

      await coordinator.kill();
      await elapse(away_ms);
      const errors = tally.counts.server_errors;
      const [second, began] = [tally.second(), performance.now()];
      await coordinator.start();
      await until('all to be heard', () => fleet.answeredSince(began) === agents, 3 * back_ms);
      const heard_ms = performance.now() - began;
      await until(
        'all to wait for work again or to have some',
        async () => (await parkedAt(url)) + fleet.hosts.filter(({ attempts }) => attempts.size > 0).length >= agents,
        3 * back_ms,
      );
      const back_in_ms = performance.now() - began;
      const mean = (2 * agents * 1000) / HEARTBEAT_MS;
      const peak = busiest(tally.opened, second, second + 60);
      const storm = tally.counts.server_errors - errors;
      console.log('R15:', JSON.stringify({ agents, away_ms, heard_ms, back_in_ms, peak, mean, storm }));
      expect(peak).toBeLessThan(PEAK_TO_MEAN * mean);
      // One answer of a hundred may find the database still recovering.
      expect(storm).toBeLessThanOrEqual(agents / 100);

      await fed.stop();
      const sql = openDatabase(coordinator);
      await expectEachOnce(sql, created, sightings, 60_000).finally(() => sql.end());
      await real.audit();
    },
  );
});
