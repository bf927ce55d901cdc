import type { Deps } from '../deps.ts';

/**
 * Whether an agent has not been heard of for so long that it is shown as offline, never included. In SQL, of `agent_beats`
 * as b in a left join; the time is read once per statement, because flotilla_now() costs more than the row it is asked for.
 */
export const isSilent = ({ config, db: { sql } }: Deps) =>
  sql`coalesce(b.last_heartbeat_at < (select flotilla_now()) - ${config.FLOTILLA_LOST_MS} * interval '1 ms', true)`;
