import type { api, Review, RouteInput } from '@flotilla/shared';

import { decodeCursor, pageOf } from '../../db/page.ts';
import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { requireTask } from '../queries.ts';

/** The verdicts on a task, newest first. */
export const listReviews = async (
  deps: Deps,
  principal: Principal,
  { params, query }: RouteInput<typeof api.reviews.list>,
): Promise<{ reviews: Review[]; next_cursor: string | null }> => {
  const task = await requireTask(deps, principal, params.id);
  const rows = await deps.db.sql<Review[]>`
    select r.id, r.task_id, a.number as attempt, r.verdict, r.feedback, r.comment_id, r.reviewer, r.created_at
    from quality_reviews r left join attempts a on a.id = r.attempt_id
    where r.task_id = ${task.id} and r.workspace_id = ${task.workspace_id} and r.id < ${decodeCursor(query.cursor)}
    order by r.id desc limit ${query.limit + 1}`;
  const { items, next_cursor } = pageOf(rows, query.limit);
  return { reviews: items, next_cursor };
};
