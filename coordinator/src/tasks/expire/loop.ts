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
