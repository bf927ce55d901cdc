import { type TaskStatus, taskStatuses } from '@flotilla/shared';
import type { Fragment } from 'postgres';

import type { Deps } from '../deps.ts';

/** Tasks by status; `which` is a condition on `tasks`. */
export const countTasks = async ({ db: { sql } }: Deps, which: Fragment): Promise<Record<TaskStatus, number>> => {
  const rows = await sql<{ status: TaskStatus; count: number }[]>`
    select status, count(*)::int as count from tasks where ${which} group by status`;
  // The cast: Object.fromEntries forgets that it got every status.
  const counts = Object.fromEntries(taskStatuses.map((status) => [status, 0])) as Record<TaskStatus, number>;
  for (const { status, count } of rows) counts[status] = count;
  return counts;
};
