import type { Timings } from './api/agents.ts';
import { type Backoff, backoffDelay } from './async/backoff.ts';

/** How a host paces its calls. One place, so that the fleet simulator of `bench/` is true to agentd. */
export const pace = {
  /** Claims that were not answered. */
  claim: { min_ms: 200, max_ms: 5_000 } satisfies Backoff,
  /** Reports, log chunks and the like, which are repeated until they are answered. */
  report: { min_ms: 200, max_ms: 30_000 } satisfies Backoff,
  /** Registrations. */
  register: { min_ms: 200, max_ms: 30_000 } satisfies Backoff,
  /** An answer without tasks is normally a long wait; one that comes at once must not make a claim loop spin. */
  empty_claim_ms: 500,
  /** After a restored link a fleet's outboxes spread over this time. */
  outbox_spread_ms: 2_000,
  /** Two beats are never closer than this, whatever changes. */
  beat_gap_ms: 100,
  /** Beyond its wait, a parked claim is given this long to be answered. */
  claim_slack_ms: 15_000,
} as const;

/** The pause between two beats that nothing calls for earlier, jittered so that a fleet drifts apart. */
export const beatPause = ({ heartbeat_ms }: Timings, random: () => number): number =>
  heartbeat_ms * (0.9 + 0.2 * random()) - pace.beat_gap_ms;

/**
 * The wait before a claim that failed is repeated; a beat that gets through ends it. Once is a fluke and repeated soon.
 * Then the coordinator is away, and all that were parked there ask again: each some time within the spread that it named
 * for its fleet, or the whole fleet would be at its door within five seconds. From then on it keeps its place in the
 * spread: drawn anew each time, twice as many would ask in every second.
 */
export const claimPause = (failures: number, { return_spread_ms }: Timings, random: () => number): number => {
  const backoff = backoffDelay(failures, pace.claim, random);
  const spread_ms = return_spread_ms ?? 0;
  if (failures === 0) return backoff;
  return Math.max(backoff, failures === 1 ? Math.round(random() * spread_ms) : spread_ms);
};
