import type { Deps } from '../deps.ts';

/** After commit: sequence what was recorded, and wake a waiter when the task can be claimed. */
export const announce = (deps: Deps, claimable: { queue_class_id: number | null } | null): void =>
  deps.db.afterCommit(() => {
    deps.hub.raise('unsequenced');
    if (claimable?.queue_class_id != null) deps.hub.raise('work', claimable.queue_class_id, 1);
  });

/** After commit: the concurrency keys of tasks that run no more are free. */
export const announceEnded = (deps: Deps, tasks: { concurrency_key: string | null }[]): void => {
  if (tasks.some(({ concurrency_key }) => concurrency_key !== null))
    deps.db.afterCommit(() => deps.hub.raise('key_freed'));
};
