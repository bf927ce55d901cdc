import { every } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import { backgroundLoop } from '../../operations/background.ts';
import { expireLeases } from './expire.ts';
import { type ClockReading, markAlive, noticeClockStep } from './guards.ts';
import { expirySuspended } from './suspension.ts';

/** Notes that this coordinator lives. Its first pass must come before the first expiry: it finds the gap. */
export const aliveLoop = (deps: Deps, signal: AbortSignal): Promise<void> =>
  every(() => markAlive(deps), {
    name: 'alive',
    interval_ms: deps.config.FLOTILLA_ALIVE_MS,
    signal,
    ...backgroundLoop(deps),
  });

/** Expires leases whose time is over, unless the guards say that the silence is ours. */
export const expireLoop = (deps: Deps, signal: AbortSignal): Promise<void> => {
  let clock: ClockReading | null = null;
  const pass = async () => {
    clock = await noticeClockStep(deps, clock);
    const suspended = await expirySuspended(deps);
    deps.metrics.expiry_suspended.reset();
    if (suspended !== null) return deps.metrics.expiry_suspended.set({ reason: suspended }, 1);
    for (let handled = 1; handled > 0 && !signal.aborted;) handled = await expireLeases(deps);
  };
  return every(pass, { name: 'expire', interval_ms: deps.config.FLOTILLA_SWEEP_MS, signal, ...backgroundLoop(deps) });
};

/** Puts deferred tasks back into the queue's index when their time has come. Served by tasks_deferred. */
export const deferLoop = (deps: Deps, signal: AbortSignal): Promise<void> => {
  const pass = async () => {
    const due = await deps.db.sql<{ queue_class_id: number | null }[]>`
      update tasks set deferred_until = null where id in (
        select id from tasks where deferred_until is not null and deferred_until <= flotilla_now() order by deferred_until limit 500 for update skip locked)
      returning queue_class_id`;
    for (const task of due) if (task.queue_class_id !== null) deps.hub.raise('work', task.queue_class_id, 1);
  };
  return every(pass, { name: 'defer', interval_ms: deps.config.FLOTILLA_SWEEP_MS, signal, ...backgroundLoop(deps) });
};
