import type { Deps } from '../../deps.ts';

/** A wall clock that jumps by more than this against the monotonic one suspends expiry for one lease. */
const CLOCK_STEP_MS = 5_000;

export type ClockReading = { wall_ms: number; mono_ms: number };

/**
 * Says that this coordinator lives. If none did for a while, expiry waits after service resumed: the agents could not
 * renew, and their leases must not be blamed on them. Real time, not the shiftable clock: a gap is about this process.
 */
export const markAlive = async (deps: Deps): Promise<void> => {
  const { FLOTILLA_GAP_MS, FLOTILLA_GAP_WAIT_MIN_MS, FLOTILLA_GAP_WAIT_MAX_MS } = deps.config;
  await deps.db.sql`
    with gap as (select extract(epoch from clock_timestamp() - alive_at) * 1000 as ms from service)
    update service set alive_at = clock_timestamp(),
      suspended_reason = case when gap.ms > ${FLOTILLA_GAP_MS} then 'gap in service' else suspended_reason end,
      expiry_suspended_until = case when gap.ms > ${FLOTILLA_GAP_MS} then greatest(expiry_suspended_until, flotilla_now() +
        least(greatest(gap.ms / 2, ${FLOTILLA_GAP_WAIT_MIN_MS}), ${FLOTILLA_GAP_WAIT_MAX_MS}) * interval '1 ms') else expiry_suspended_until end
    from gap`;
};

/** Compares the database's wall clock with our monotonic one; a step suspends expiry for one lease. */
export const noticeClockStep = async (deps: Deps, last: ClockReading | null): Promise<ClockReading> => {
  const before = performance.now();
  const [row] = await deps.db.sql<
    { wall_ms: number }[]
  >`select (extract(epoch from clock_timestamp()) * 1000)::float8 as wall_ms`;
  const reading = { wall_ms: row?.wall_ms ?? 0, mono_ms: (before + performance.now()) / 2 };
  if (last === null) return reading;
  const step_ms = reading.wall_ms - last.wall_ms - (reading.mono_ms - last.mono_ms);
  if (Math.abs(step_ms) > CLOCK_STEP_MS) {
    deps.log.warn({ step_ms: Math.round(step_ms) }, 'the wall clock stepped; no lease expires for one lease time');
    await deps.db.sql`
      update service set suspended_reason = 'clock step',
        expiry_suspended_until = greatest(expiry_suspended_until, flotilla_now() + ${deps.config.FLOTILLA_LEASE_MS} * interval '1 ms')`;
  }
  return reading;
};
