import type { api, RouteInput, Task } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { lockTask, requireEdge } from '../lock-task.ts';
import { patchTask } from '../patch.ts';

type Input = RouteInput<typeof api.reviews.approve> & { if_match?: number };

/** Accepts the work of a task in review. */
export const approveTask = (deps: Deps, principal: Principal, input: Input): Promise<Task> =>
  deps.db.transaction(async (db) => {
    requireEdge(await lockTask(db, principal, input.params.id), 'approve');
    const { params, if_match, body } = input;
    return patchTask({ ...deps, db }, principal, { params, if_match, body: { status: 'done' } }, body.feedback ?? null);
  });
