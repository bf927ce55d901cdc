import { sleep } from '@flotilla/shared';

import { elapsedSince } from '../clock.ts';
import type { Deps } from '../deps.ts';
import { readIfPresent } from '../local/files.ts';
import type { Attempt } from './attempt.ts';
import { preventLaunch } from './launch.ts';
import { findProcesses, isRunning, killGroup, type ProcessId, signalAll, type TreeProcess } from './process.ts';
import { readShimPid } from './shim.ts';
import { readExit } from './watch.ts';

/** Rounds of single KILLs before the whole group is killed, shim included: a fork bomb is faster than any list of pids. */
const SINGLE_ROUNDS = 5;
/**
 * An agent whose tool is ended takes that for its result and asks the model what to do next, for money: the agent is told
 * first, and ends its tools itself. They are told, too, once it is gone or has had this long (at most half of the grace).
 */
const HEAD_START_MS = 2_000;
/** How long the shim may take to write down the end once the tree is gone. */
const KEEPERS_MS = 5_000;
/** A process in uninterruptible sleep dies when its disk answers; the attempt is reported without waiting for that. */
const GIVE_UP_MS = 30_000;
const LOOK_MS = 50;

/** Waits until the shim has either started its executor or ended, so that an empty tree means "over" and not "not yet". */
const awaitBirth = async (attempt: Attempt, shim: ProcessId, signal: AbortSignal): Promise<void> => {
  for (let looks = 0; looks < 100 && !signal.aborted; looks++) {
    if (
      (await readIfPresent(attempt.files.child_pid)) !== null ||
      (await readExit(attempt)) !== null ||
      !(await isRunning(shim))
    )
      return;
    await sleep(LOOK_MS, signal);
  }
};

/** Who of the tree is asked to end by now. */
const dueForTerm = (tree: TreeProcess[], elapsed_ms: number, grace_left_ms: number): TreeProcess[] => {
  const together = tree.filter(({ apart }) => !apart);
  return together.length > 0 && elapsed_ms < Math.min(HEAD_START_MS, grace_left_ms / 2) ? together : tree;
};

const endTree = async (
  deps: Deps,
  attempt: Attempt,
  shim: ProcessId,
  grace_left_ms: number,
  signal: AbortSignal,
): Promise<void> => {
  const { clock, log } = deps;
  const began = clock.uptime_ms();
  const warned = new Set<number>();
  for (let kills = 0; !signal.aborted;) {
    const { tree } = await findProcesses(attempt.mark, shim);
    if (tree.length === 0) return;
    const elapsed = clock.uptime_ms() - began;
    if (elapsed < grace_left_ms) {
      const fresh = dueForTerm(tree, elapsed, grace_left_ms).filter(({ pid }) => !warned.has(pid));
      await signalAll(fresh, 'SIGTERM');
      for (const { pid } of fresh) warned.add(pid);
    } else {
      await signalAll(tree, 'SIGKILL');
      if (++kills > SINGLE_ROUNDS) await killGroup(shim);
      if (elapsed > grace_left_ms + GIVE_UP_MS) {
        log.error(
          { attempt: attempt.key, pids: tree.map(({ pid }) => pid) },
          'processes of an attempt cannot be killed; it is reported without them',
        );
        return;
      }
    }
    await sleep(LOOK_MS, signal);
  }
};

/** The shim drains the pipes and ends; whatever keeps it from that is cut short, so that the log has a final size. */
const endKeepers = async ({ clock }: Deps, attempt: Attempt, shim: ProcessId, signal: AbortSignal): Promise<void> => {
  const began = clock.uptime_ms();
  let look_ms = 5;
  while (!signal.aborted) {
    const late = clock.uptime_ms() - began > KEEPERS_MS;
    // The shim ends after its writers: only once it is gone is a pass over all processes worth its price.
    if (late || !(await isRunning(shim))) {
      const { keepers } = await findProcesses(attempt.mark, shim);
      if (keepers.length === 0) return;
      if (late) await signalAll(keepers, 'SIGKILL');
    }
    await sleep(look_ms, signal);
    look_ms = Math.min(100, look_ms * 2);
  }
};

/**
 * Ends every process of an attempt: TERM, the grace time, KILL, and again until none is left. After a decision of ours
 * the grace counts from the decision, so that a restart of agentd does not prolong it. An abort leaves the rest to the
 * next start.
 */
export const stopAttempt = async (deps: Deps, attempt: Attempt, signal: AbortSignal): Promise<void> => {
  const { intent } = attempt;
  if (intent !== null && (await preventLaunch(attempt))) return;
  const shim = await readShimPid(attempt.files);
  if (shim === null) return;
  if (intent !== null) await awaitBirth(attempt, shim, signal);
  const grace_ms =
    intent === null
      ? deps.config.kill_grace_ms
      : intent.grace_ms - elapsedSince(intent.at, deps.clock, deps.host.boot_id);
  await endTree(deps, attempt, shim, grace_ms, signal);
  await endKeepers(deps, attempt, shim, signal);
};
