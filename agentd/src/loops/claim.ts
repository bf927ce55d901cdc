import { readFile, statfs } from 'node:fs/promises';

import { ApiError, claimPause, type ClaimedTask, pace, sleep } from '@flotilla/shared';
import { z } from 'zod';

import { describeError, readRefusal, holdLink } from '../answers.ts';
import { type Moment, momentNow } from '../clock.ts';
import { withDeadline } from '../deadline.ts';
import type { Deps } from '../deps.ts';
import { doubtLink } from '../link.ts';
import { removeDurable } from '../local/files.ts';
import { attemptKey, journalAttempts, type NewAttempt, readAttempt, writeJsonFile } from '../local/journal.ts';
import { attemptPaths } from '../local/paths.ts';
import { abortWhen } from '../notifier.ts';
import { claimBlock, wantBeat } from '../standing.ts';
import { usesSlot, viewAttempt } from '../task/attempt.ts';

/** A drain ends a parked claim at the coordinator; its answer settles whether a task came in the same instant. */
const SETTLE_MS = 3_000;
const MIN_FREE_DISK = 0.05;

const ClaimFile = z.object({ claim_id: z.string() });

const freeSlots = ({ config, attempts }: Deps): number => config.slots - [...attempts.values()].filter(usesSlot).length;

/** The claim id on disk, or a new one made durable: a claim whose answer was lost is asked for again by the same id. */
const takeClaimId = async ({ paths, newId, crash }: Deps): Promise<string> => {
  const raw = await readFile(paths.claim, 'utf8').catch(() => 'null');
  const present = ClaimFile.safeParse(JSON.parse(raw));
  if (present.success) return present.data.claim_id;
  const claim_id = newId();
  await writeJsonFile(paths.claim, { claim_id });
  crash('claim.journaled');
  return claim_id;
};

const toNewAttempt = ({ executor, config, paths }: Deps, task: ClaimedTask, claimed_at: Moment): NewAttempt => {
  const files = attemptPaths(paths, attemptKey(task));
  const plan = executor.prepare(task, {
    workdir: files.workdir,
    prompt_file: files.prompt,
    private_dir: files.private,
  });
  const { prompt, attempt_token, ...kept } = task;
  const record = { task: kept, executor: executor.name, plan, max_log_bytes: config.max_log_bytes, claimed_at };
  return { record, prompt, token: attempt_token };
};

/** Writes down everything an answer gave before any of it is acted on, then lets the claim id go. */
const acceptTasks = async (deps: Deps, tasks: ClaimedTask[], claimed_at: Moment): Promise<void> => {
  const { paths, attempts, crash, standing, log } = deps;
  crash('claim.answered');
  // A task that is held already came with a replayed claim.
  const fresh = tasks.filter((task) => !attempts.has(attemptKey(task)));
  await journalAttempts(
    paths,
    fresh.map((task) => toNewAttempt(deps, task, claimed_at)),
  );
  if (fresh.length > 0) crash('attempt.journaled');
  await removeDurable(paths.claim);
  if (fresh.length > 0) crash('claim.cleared');
  for (const task of fresh) {
    const found = await readAttempt(paths, attemptKey(task));
    if (found === null) continue;
    attempts.set(
      found.key,
      viewAttempt(found, paths.mark, { renewed_at_ms: claimed_at.uptime_ms, lease_ms: task.lease_ms }),
    );
    log.info({ attempt: found.key, ref: task.ref }, 'claimed a task');
  }
  if (fresh.length > 0) standing.changed.notify();
};

/** Asks once, parked for as long as the coordinator likes. Ends early when more slots are free than it asked for. */
const claimOnce = async (deps: Deps, slots: number, signal: AbortSignal): Promise<void> => {
  const { client, standing, clock, host } = deps;
  const claim_id = await takeClaimId(deps);
  const wait_s = Math.min(50, standing.timings.claim_wait_s);
  const claimed_at = momentNow(clock, host.boot_id);
  let blocked_since_ms: number | null = null;
  const mustAskAgain = () => {
    if (claimBlock(deps) === null) blocked_since_ms = null;
    else blocked_since_ms ??= clock.uptime_ms();
    const blocked = blocked_since_ms !== null && clock.uptime_ms() - blocked_since_ms > SETTLE_MS;
    return blocked || (blocked_since_ms === null && freeSlots(deps) > slots);
  };
  const parked = abortWhen(standing.changed, mustAskAgain, signal);
  try {
    const { tasks } = await withDeadline(wait_s * 1000 + pace.claim_slack_ms, parked.signal, (limited) =>
      client.tasks.claim({ body: { slots, wait_s, claim_id } }, { signal: limited }),
    );
    await acceptTasks(deps, tasks, claimed_at);
    const waited_ms = clock.uptime_ms() - claimed_at.uptime_ms;
    // Ended before its time: the coordinator has something to say (a cancel, a drain), and says it in a beat.
    if (tasks.length === 0 && waited_ms < wait_s * 900) wantBeat(standing);
    const quick = waited_ms < pace.empty_claim_ms;
    if (tasks.length === 0 && quick) await sleep(pace.empty_claim_ms * deps.random(), signal);
  } catch (error) {
    // Given up by ourselves: the claim id stays, so nothing that was granted meanwhile is lost.
    if (!parked.signal.aborted || signal.aborted) throw error;
  } finally {
    parked.stop();
  }
};

/** Looks whether there is room for another task; a host without says so and takes none. */
const checkDisk = async ({ paths, standing, log }: Deps): Promise<void> => {
  const { bavail, blocks } = await statfs(paths.root);
  const full = blocks > 0 && bavail / blocks < MIN_FREE_DISK;
  if (full && !standing.disk_full)
    log.error({ state_dir: paths.root }, 'less than 5 % of the disk is free: no new tasks until there is more');
  standing.disk_full = full;
};

const noteRefusal = (deps: Deps, error: unknown): void => {
  if (readRefusal(error) === 'held') holdLink(deps, error as ApiError);
  if (error instanceof ApiError && error.code === 'instance_conflict') deps.standing.instance_conflict = true;
};

/** Asks for work whenever a slot is free and the coordinator lets this agent work. */
export const runClaims = async (deps: Deps, signal: AbortSignal): Promise<void> => {
  for (let failures = 0; !signal.aborted;) {
    try {
      await checkDisk(deps);
      const slots = freeSlots(deps);
      if (slots < 1 || claimBlock(deps) !== null) {
        await deps.standing.changed.wait(1000, signal);
        continue;
      }
      await claimOnce(deps, slots, signal);
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      noteRefusal(deps, error);
      const retry_in_ms = claimPause(failures++, deps.standing.timings, deps.random);
      if (failures > 1) doubtLink(deps.link);
      deps.log[failures <= 3 ? 'warn' : 'debug'](
        { retry_in_ms, error: describeError(error) },
        'claim not answered, trying again',
      );
      // A beat that gets through says that the coordinator is back.
      await deps.link.restored.wait(retry_in_ms, signal);
    }
  }
};
