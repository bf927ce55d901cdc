import type { Deps } from '../deps.ts';
import { drainRemaining, wantBeat } from '../standing.ts';
import { requestStop, usesSlot } from '../task/attempt.ts';

/** At the deadline, what still runs is handed back: `requeue` with the grace time, `kill` without. */
const meetDeadline = async (deps: Deps): Promise<void> => {
  const { drain } = deps.standing.applied;
  if (drain === null || (drain.on_deadline !== 'requeue' && drain.on_deadline !== 'kill')) return;
  const options = drain.on_deadline === 'kill' ? { grace_ms: 0 } : {};
  for (const attempt of deps.attempts.values()) await requestStop(deps, attempt, 'drain', options);
};

/** To the deadline; beyond it what would not stop is asked again. */
const pauseOf = (remaining_ms: number | null): number =>
  remaining_ms === null || remaining_ms <= 0 ? 5_000 : Math.min(remaining_ms, 5_000);

/** Follows a drain: nothing until its deadline, then the hand-back; and news to the coordinator when nothing runs any more. */
export const runDrain = async (deps: Deps, signal: AbortSignal): Promise<void> => {
  const { standing, attempts } = deps;
  let announced: number | null = null;
  while (!signal.aborted) {
    const { drain } = standing.applied;
    const remaining_ms = drainRemaining(deps);
    if (remaining_ms !== null && remaining_ms <= 0) await meetDeadline(deps);
    const drained = drain !== null && ![...attempts.values()].some(usesSlot);
    if (drained && announced !== drain.generation) {
      announced = drain.generation;
      wantBeat(standing);
    }
    if (!drained) announced = null;
    // A drain comes with an answer, and attempts tell when they change: without one nothing has to be looked at by the clock.
    await standing.changed.wait(drain === null ? 60_000 : pauseOf(remaining_ms), signal);
  }
};
