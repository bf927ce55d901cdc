import type { Timings } from '@flotilla/shared';

import type { Deps } from '../deps.ts';

/** Spread of a returning fleet: this much per agent, so that 10 000 come back over 50 s and 3 at once. */
const SPREAD_MS_PER_AGENT = 5;

/** The durations an agent works with. After a gap in service each gets its own delay, inside the time expiry waits. */
export const timingsFor = async (deps: Deps): Promise<Timings> => {
  const { config } = deps;
  const [row] = await deps.db.sql<{ window_ms: number; agents: number }[]>`
    select greatest(0, coalesce(extract(epoch from expiry_suspended_until - flotilla_now()) * 1000, 0))::float8 as window_ms,
      case when expiry_suspended_until > flotilla_now() then (select count(*)::int from agents where deleted_at is null) else 0 end as agents
    from service`;
  const spread_ms = Math.min(row?.window_ms ?? 0, (row?.agents ?? 0) * SPREAD_MS_PER_AGENT);
  return {
    heartbeat_ms: config.FLOTILLA_HEARTBEAT_MS,
    suspect_ms: config.FLOTILLA_SUSPECT_MS,
    lost_ms: config.FLOTILLA_LOST_MS,
    lease_ms: config.FLOTILLA_LEASE_MS,
    requeue_grace_ms: config.FLOTILLA_REQUEUE_GRACE_MS,
    claim_wait_s: 50,
    reconnect_delay_ms: Math.round(deps.random() * spread_ms),
  };
};
