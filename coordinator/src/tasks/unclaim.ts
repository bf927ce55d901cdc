import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { announce, announceEnded } from './announce.ts';
import { leaseLost, lockAttempt } from './attempt-row.ts';
import { endAttempt, returnTask } from './lifecycle.ts';
import { storeReportExtras } from './settle.ts';

/** An agent hands a task back without a result (drain, host stop, rate-limit reset). Counts against no limit. */
export const unclaimTask = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.unclaim>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const held = await lockAttempt({ ...deps, db }, principal, params.id, body.epoch);
    // Handing back twice is no mistake: the first answer may have been lost.
    if (held.attempt.state === 'released') return null;
    if (!held.live) throw leaseLost(held);
    await endAttempt(db, held.attempt, { state: 'released', failure: { kind: 'released', message: body.reason } });
    await storeReportExtras(db, { held, report: { log_sizes: body.log_sizes } });
    const defer_ms = (body.retry_after_s ?? 0) * 1000;
    await returnTask(db, held.task, { counter: null, failure: null, defer_ms, event: 'task.released' });
    announceEnded({ ...deps, db }, [held.task]);
    announce({ ...deps, db }, defer_ms === 0 ? held.task : null);
    return null;
  });
