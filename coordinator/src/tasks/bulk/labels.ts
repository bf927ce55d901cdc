import { type BulkTasks, Tags, type Task } from '@flotilla/shared';
import { AppError } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { lockTask } from '../lock-task.ts';
import { patchTask } from '../patch.ts';
import { getTask } from '../queries.ts';

/** Adds and removes labels of one task; read under its lock, so that two who label at once both count. */
export const changeLabels = (deps: Deps, principal: Principal, id: number, body: BulkTasks): Promise<Task> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    await lockTask(db, principal, id);
    const task = await getTask(inner, principal, id);
    const removed = new Set(body.remove_tags);
    const tags = [...new Set([...task.tags, ...(body.add_tags ?? [])])].filter((tag) => !removed.has(tag));
    if (!Tags.safeParse(tags).success)
      throw new AppError('invalid_input', { sentence: `tags: TASK-${id} would have more than 32 labels.` });
    if (tags.join(',') === task.tags.join(',')) return task;
    return patchTask(inner, principal, { params: { id }, body: { tags } });
  });
