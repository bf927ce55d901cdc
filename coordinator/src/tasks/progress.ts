import type { api, RouteInput, RouteOutput } from '@flotilla/shared';

import { isoTime } from '../db/iso-time.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { leaseLost, lockAttempt } from './attempt-row.ts';
import { renewHeld } from './renew.ts';

/** Keeps what an attempt says about how far it is. Writes no event: like beats and usage, it is frequent and fleeting. */
export const reportProgress = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.progress>,
): Promise<RouteOutput<typeof api.tasks.progress>> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    const held = await lockAttempt({ ...deps, db }, principal, params.id, body.epoch);
    if (!held.live) throw leaseLost(held);
    const { percent = null, message = null } = body;
    await sql`
      update attempts set progress = jsonb_build_object('percent', ${percent}::float8, 'message', ${message}::text, 'at',
        ${isoTime(sql, sql`flotilla_now()`)})
      where id = ${held.attempt.id}`;
    await renewHeld(sql, [held]);
    const [lease] = await sql<
      { expires_at: string }[]
    >`select expires_at from leases where attempt_id = ${held.attempt.id}`;
    if (lease === undefined) throw new Error('a live attempt without lease');
    return { cancel_requested: held.task.cancel_requested_at !== null, lease_expires_at: lease.expires_at };
  });
