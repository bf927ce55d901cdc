import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { announce } from '../announce.ts';
import { lockWithdrawn, withdrawQuestion } from '../questions/answer.ts';
import { lockComment } from './lock-comment.ts';
import { recordChange } from './record-change.ts';

/** Takes a comment back: its text is erased (it may hold a secret), its place in the thread stays. A task waits no more for the answer to it. */
export const deleteComment = (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.comments.delete>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const question = await lockWithdrawn({ ...deps, db }, principal, params);
    const { task, comment_id } = await lockComment({ ...deps, db }, principal, params);
    await db.sql`update task_comments set text = '', mentions = '{}', deleted_at = flotilla_now() where id = ${comment_id}`;
    await recordChange(db, principal, { task, comment_id, what: 'delete' });
    if (question !== null) await withdrawQuestion({ ...deps, db }, question);
    announce({ ...deps, db }, null);
    return null;
  });
