import type { Deps } from '../deps.ts';

/** After commit: sequence what was recorded, and wake a waiter when the task can be claimed. */
export const announce = (deps: Deps, claimable: { queue_class_id: number | null } | null): void =>
  deps.db.afterCommit(() => {
    deps.hub.raise('unsequenced');
    if (claimable?.queue_class_id != null) deps.hub.raise('work', claimable.queue_class_id, 1);
  });
