import type { api, CreateTask, RouteInput, Task } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { createTask } from './create.ts';
import { getTask } from './queries.ts';

/** Creates a task like another: what it says and demands. Its times were for that one, its history is its own. */
export const duplicateTask = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.duplicate>,
): Promise<Task> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    const task = await getTask(inner, principal, params.id);
    const { title, description, priority, tags, required_tags, assigned_to, executor, model } = task;
    const { timeout_s, on_host_loss, review, concurrency_key, concurrency_limit } = task;
    const runs = { timeout_s, on_host_loss, review, concurrency_key, concurrency_limit };
    // Stored metadata passed the contract when it came.
    const metadata = task.metadata as CreateTask['metadata'];
    const copied = { title, description, priority, tags, required_tags, assigned_to, executor, model };
    return createTask(inner, principal, { body: { ...copied, ...runs, metadata, ...body } });
  });
