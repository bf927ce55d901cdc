import type { Deps } from '../deps.ts';

/** More than ever wait in one coordinator: each one that finds nothing costs one look. */
const EVERYBODY = 1_000_000;

/** Wakes whoever may take what is queued in a workspace, here and in the other coordinators. */
export const wakeWorkspace = async (deps: Deps, workspace_id: number): Promise<void> => {
  const classes = await deps.db.sql<{ id: number }[]>`
    select id from queue_classes c where workspace_id = ${workspace_id} and exists (
      select 1 from tasks where queue_class_id = c.id and status in ('inbox', 'assigned') and deferred_until is null and deleted_at is null)`;
  for (const { id } of classes) deps.hub.raise('work', id, EVERYBODY);
};
