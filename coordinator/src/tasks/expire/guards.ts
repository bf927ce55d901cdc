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

/**
 * Why no lease may expire right now, or null. Mass silence: of the daemon agents with a beat in the last 10 minutes and
 * not lost before the window, half or more (of at least 4) fell silent within it. That is a network, not dead hosts.
 */
export const expirySuspended = async (deps: Deps): Promise<string | null> => {
  const { config } = deps;
  const [row] = await deps.db.sql<
    {
      reason: string | null;
      silent: number;
      counted: number;
      since: string | null;
      mass_over: boolean;
      released: boolean;
    }[]
  >`
    with beats as (
      select extract(epoch from flotilla_now() - b.last_heartbeat_at) * 1000 as silent_ms
      from agent_beats b join agents a on a.id = b.agent_id
      where a.kind = 'daemon' and a.disabled_at is null and a.deleted_at is null and b.state <> 'detached'
    ), recent as (
      select silent_ms > ${config.FLOTILLA_LOST_MS} as silent from beats
      where silent_ms < least(600000, ${config.FLOTILLA_LOST_MS} + ${config.FLOTILLA_MASS_SILENCE_WINDOW_MS}::float8)
        or silent_ms <= ${config.FLOTILLA_LOST_MS}
    )
    select case when expiry_suspended_until > flotilla_now() then suspended_reason
        when extract(epoch from clock_timestamp() - alive_at) * 1000 > ${config.FLOTILLA_GAP_MS} then 'gap in service' end as reason,
      (select count(*)::int from recent where silent) as silent, (select count(*)::int from recent) as counted,
      mass_silence_since as since,
      coalesce(mass_silence_since + ${config.FLOTILLA_MASS_SILENCE_HOLD_MS} * interval '1 ms' < flotilla_now(), true) as mass_over,
      coalesce(mass_silence_released_at >= mass_silence_since, false) as released
    from service`;
  if (row === undefined) return 'no service row';
  if (row.reason !== null) return row.reason;
  const silent = row.counted >= 4 && row.silent * 2 >= row.counted;
  if (row.since !== null && !row.mass_over && !row.released) return 'mass silence';
  if (!silent || (row.since !== null && (row.released || row.mass_over))) {
    // The episode is over once fewer are silent; the next one alerts again.
    if (!silent && row.since !== null)
      await deps.db.sql`update service set mass_silence_since = null, mass_silence_released_at = null`;
    return null;
  }
  await deps.db.sql`update service set mass_silence_since = flotilla_now() where mass_silence_since is null`;
  deps.log.error(
    { silent: row.silent, counted: row.counted },
    'mass silence: nothing is requeued until agents return or the hold time is over',
  );
  return 'mass silence';
};
