import type { api, RouteInput, Task } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { lockTask, requireEdge } from '../lock-task.ts';
import { patchTask } from '../patch.ts';

type Input = RouteInput<typeof api.reviews.reject> & { if_match?: number };

/** Sends the work of a task in review back with feedback; beyond the limit it fails. */
export const rejectTask = (deps: Deps, principal: Principal, input: Input): Promise<Task> =>
  deps.db.transaction(async (db) => {
    requireEdge(await lockTask(db, principal, input.params.id), 'reject');
    const { params, if_match, body } = input;
    return patchTask({ ...deps, db }, principal, { params, if_match, body: { status: 'inbox' } }, body.feedback);
  });
