import type { SimulatedFleet } from './fleet.ts';
import type { Host } from './host.ts';
import { seeded } from './random.ts';

/** How hosts fail: one every so often, away for some time, a share of them for good (never more than a tenth of all). */
export type Disturbance = { every_ms: number; away_min_ms: number; away_max_ms: number; for_good: number };

/** Crashes hosts, and starts them again, until it is stopped. */
export const disturb = (fleet: SimulatedFleet, disturbance: Disturbance, seed: number): (() => void) => {
  const random = seeded(seed + 1);
  const timers = new Set<NodeJS.Timeout>();
  const gone = new Set<Host>();
  const { every_ms, away_min_ms, away_max_ms, for_good } = disturbance;
  const later = (ms: number, act: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, ms);
    timers.add(timer);
  };
  const crashOne = () => {
    later(every_ms * (0.5 + random()), crashOne);
    const host = fleet.hosts[Math.floor(random() * fleet.hosts.length)];
    if (host === undefined || host.run === null) return;
    fleet.crash(host);
    fleet.tally.add('crashes');
    if (random() < for_good && gone.size < fleet.hosts.length / 10) {
      gone.add(host);
      return;
    }
    later(away_min_ms + random() * (away_max_ms - away_min_ms), () => {
      fleet.start(host);
      fleet.tally.add('returns');
    });
  };
  later(every_ms, crashOne);
  return () => timers.forEach(clearTimeout);
};
