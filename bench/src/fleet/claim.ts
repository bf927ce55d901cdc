import { type ClaimedTask, claimPause, pace } from '@flotilla/shared';

import { type Attempt, type Host, napIn, type Run, wantBeat } from './host.ts';
import { runAttempt } from './work.ts';

/** Running programs use a slot; an attempt that only waits for its report to arrive does not. */
const freeSlots = (host: Host): number =>
  host.world.slots - [...host.attempts.values()].filter(({ phase }) => phase !== 'reporting').length;

const accept = (host: Host, run: Run, tasks: ClaimedTask[]): void => {
  const { work, tally, observer } = host.world;
  host.claim_id = null;
  for (const { id, epoch } of tasks) {
    if (host.attempts.has(epoch)) continue; // came with a replayed claim
    const ends_ms = performance.now() + work.min_ms + host.random() * (work.max_ms - work.min_ms);
    const attempt: Attempt = { task_id: id, epoch, phase: 'claimed', ends_ms, stop: null };
    host.attempts.set(epoch, attempt);
    tally.add('tasks_claimed');
    observer.started?.(id, epoch, host.id);
    void runAttempt(host, run, attempt);
  }
};

/** Asks once, parked as long as the coordinator likes; throws when there was no good answer. */
const claimOnce = async (host: Host, run: Run, slots: number): Promise<void> => {
  const { timings, token } = host;
  host.claim_id ??= `${host.id}-${host.claims_made++}`;
  const wait_s = Math.min(50, timings.claim_wait_s);
  const began = performance.now();
  const body = { slots, wait_s, claim_id: host.claim_id };
  const deadline_ms = wait_s * 1000 + pace.claim_slack_ms;
  const answer = await run.lines.request({ method: 'POST', path: '/tasks/claim', token, body, deadline_ms });
  if (run.over) return;
  if (answer.status !== 200) throw new Error(`claim answered ${answer.status}`);
  const { tasks } = JSON.parse(answer.body) as { tasks: ClaimedTask[] };
  host.world.tally.add('claims');
  accept(host, run, tasks);
  const waited_ms = performance.now() - began;
  if (tasks.length > 0) return;
  if (waited_ms < wait_s * 900) wantBeat(host);
  if (waited_ms < pace.empty_claim_ms) await run.claim_nap.take(pace.empty_claim_ms * host.random());
};

/** Asks for work whenever a slot is free and the coordinator lets this host work. As agentd's claim loop. */
export const runClaims = async (host: Host, run: Run): Promise<void> => {
  for (let failures = 0; !run.over;) {
    const slots = freeSlots(host);
    const early_ms = host.claim_not_before_ms - performance.now();
    if (!host.heard || !host.may_claim || slots < 1 || early_ms > 0) {
      await napIn(run, run.claim_nap, early_ms > 0 ? Math.min(early_ms, 1000) : 1000);
      continue;
    }
    try {
      await claimOnce(host, run, slots);
      failures = 0;
    } catch {
      if (run.over) return;
      const pause_ms = claimPause(failures++, host.timings, host.random);
      if (failures > 1) host.link_up = false;
      await napUntilRestored(host, run, pause_ms);
    }
  }
};

/** Ends early only when a beat restored the channel: other news wakes the loop, too, and is none here. */
const napUntilRestored = async (host: Host, run: Run, ms: number): Promise<void> => {
  const end = performance.now() + ms;
  const was_down = !host.link_up;
  for (let left = ms; left > 0 && !run.over; left = end - performance.now()) {
    await napIn(run, run.claim_nap, left);
    if (was_down && host.link_up) return;
  }
};
