import type { Expiry } from '@flotilla/shared';

import { isSilent } from '../../agents/silence.ts';
import type { Deps } from '../../deps.ts';
import { recordEvents } from '../../events/record.ts';

type Guards = {
  /** Gap in service, clock step. */
  reason: string | null;
  until: string | null;
  silent: number;
  counted: number;
  since: string | null;
  mass_until: string | null;
  mass_over: boolean;
  released: boolean;
};

const RECENT_MS = 600_000;

/**
 * Daemon agents with a beat in the last 10 minutes that were not lost before the window. 20 ms of Postgres for 9 000, each
 * time that leases are looked at.
 */
const recentAgents = (deps: Deps) => {
  const { FLOTILLA_LOST_MS, FLOTILLA_MASS_SILENCE_WINDOW_MS } = deps.config;
  const recent_ms = Math.max(FLOTILLA_LOST_MS, Math.min(RECENT_MS, FLOTILLA_LOST_MS + FLOTILLA_MASS_SILENCE_WINDOW_MS));
  return deps.db.sql`
    select a.workspace_id, ${isSilent(deps)} as silent from agent_beats b join agents a on a.id = b.agent_id
    where a.kind = 'daemon' and a.disabled_at is null and a.deleted_at is null and b.state <> 'detached'
      and b.last_heartbeat_at > (select flotilla_now()) - ${recent_ms} * interval '1 ms'`;
};

const readGuards = async (deps: Deps): Promise<Guards> => {
  const { config } = deps;
  const [row] = await deps.db.sql<Guards[]>`
    select case when expiry_suspended_until > flotilla_now() then suspended_reason
        when extract(epoch from clock_timestamp() - alive_at) * 1000 > ${config.FLOTILLA_GAP_MS} then 'gap in service' end as reason,
      case when expiry_suspended_until > flotilla_now() then expiry_suspended_until end as until,
      silent, counted,
      mass_silence_since as since, mass_silence_since + ${config.FLOTILLA_MASS_SILENCE_HOLD_MS} * interval '1 ms' as mass_until,
      coalesce(mass_silence_since + ${config.FLOTILLA_MASS_SILENCE_HOLD_MS} * interval '1 ms' < flotilla_now(), true) as mass_over,
      coalesce(mass_silence_released_at >= mass_silence_since, false) as released
    from service, (
      select count(*) filter (where silent)::int as silent, count(*)::int as counted from (${recentAgents(deps)}) recent) counts`;
  if (row === undefined) throw new Error('the service row is missing');
  return row;
};

const massHolds = ({ since, mass_over, released }: Guards): boolean => since !== null && !mass_over && !released;

/**
 * Why no lease may expire right now, or null. Mass silence: of the daemon agents with a beat in the last 10 minutes and
 * not lost before the window, half or more (of at least 4) fell silent within it. That is a network, not dead hosts.
 */
export const expirySuspended = async (deps: Deps): Promise<string | null> => {
  const guards = await readGuards(deps);
  if (guards.reason !== null) return guards.reason;
  if (massHolds(guards)) return 'mass silence';
  const silent = guards.counted >= 4 && guards.silent * 2 >= guards.counted;
  if (!silent) {
    // The episode is over once fewer are silent; the next one alerts again.
    if (guards.since !== null)
      await deps.db.sql`update service set mass_silence_since = null, mass_silence_released_at = null`;
    return null;
  }
  if (guards.since !== null) return null;
  await beginMassSilence(deps, guards);
  return 'mass silence';
};

/** One alert per episode, whichever coordinator sees it first: a metric, a log line, an event in each workspace it hits. */
const beginMassSilence = (deps: Deps, { silent, counted }: Guards): Promise<void> =>
  deps.db.transaction(async (db) => {
    const began = await db.sql`
      update service set mass_silence_since = flotilla_now(), mass_silence_released_at = null where mass_silence_since is null returning 1`;
    if (began.length === 0) return;
    const hit = await db.sql<{ workspace_id: number; silent: number; counted: number }[]>`
      select workspace_id, count(*) filter (where silent)::int as silent, count(*)::int as counted
      from (${recentAgents({ ...deps, db })}) recent
      group by workspace_id having count(*) filter (where silent) > 0`;
    await recordEvents(
      db,
      hit.map(({ workspace_id, ...summary }) => ({
        type: 'fleet.mass_silence',
        entity_id: workspace_id,
        workspace_id,
        version: 1,
        summary,
      })),
    );
    db.afterCommit(() => {
      deps.hub.raise('unsequenced');
      deps.metrics.mass_silences.inc();
      deps.log.error(
        { silent, counted },
        'mass silence: nothing is requeued until agents return, the hold time is over, or `flotilla expiry release`',
      );
    });
  });

/** What holds expiry up, for people. */
export const readExpiry = async (deps: Deps): Promise<Expiry> => {
  const guards = await readGuards(deps);
  const { silent, counted, since, mass_until, reason, until } = guards;
  if (reason !== null) return { suspended: { reason, since: null, until }, silent, counted };
  if (massHolds(guards)) return { suspended: { reason: 'mass silence', since, until: mass_until }, silent, counted };
  return { suspended: null, silent, counted };
};
