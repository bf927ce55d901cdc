import type { RouteInput, api } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { lockAttempt } from './attempt-row.ts';
import { renewHeld } from './renew.ts';
import { storeReportExtras } from './settle.ts';

/** Usage of an attempt is welcome even after it lost its task: the money was spent. */
export const reportUsage = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.usage>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const held = await lockAttempt({ ...deps, db }, principal, params.id, body.epoch);
    await renewHeld(db.sql, [held]);
    await storeReportExtras(db, { held, report: { usage: body } });
    return null;
  });
