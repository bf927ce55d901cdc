import type { Timings } from '@flotilla/shared';

import type { Sql } from '../db/client.ts';
import type { Deps } from '../deps.ts';

/** Spread of a returning fleet: this much per agent, so that 10 000 come back over 20 s and 3 at once. */
const SPREAD_MS_PER_AGENT = 2;

/**
 * Spread of claims that nobody answered, per agent that waits here: claims come slower than beats, which end the wait.
 * Up to 250 agents it is no longer than the ordinary back-off.
 */
const RETURN_MS_PER_AGENT = 20;

/** Milliseconds over which the fleet should come back: after a gap in service, inside the time that expiry waits; else 0. */
export const readSpread = async (sql: Sql): Promise<number> => {
  const [row] = await sql<{ window_ms: number; agents: number }[]>`
    select greatest(0, coalesce(extract(epoch from expiry_suspended_until - flotilla_now()) * 1000, 0))::float8 as window_ms,
      case when expiry_suspended_until > flotilla_now() then (select count(*)::int from agents where deleted_at is null) else 0 end as agents
    from service`;
  return Math.min(row?.window_ms ?? 0, (row?.agents ?? 0) * SPREAD_MS_PER_AGENT);
};

/** The durations an agent works with; each gets its own delay within the spread. */
export const timingsOf = ({ config, random, desk }: Deps, spread_ms: number): Timings => ({
  heartbeat_ms: config.FLOTILLA_HEARTBEAT_MS,
  suspect_ms: config.FLOTILLA_SUSPECT_MS,
  lost_ms: config.FLOTILLA_LOST_MS,
  lease_ms: config.FLOTILLA_LEASE_MS,
  requeue_grace_ms: config.FLOTILLA_REQUEUE_GRACE_MS,
  claim_wait_s: 50,
  reconnect_delay_ms: Math.round(random() * spread_ms),
  return_spread_ms: desk.parked() * RETURN_MS_PER_AGENT,
});
