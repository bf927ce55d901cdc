import type { Timings } from '@flotilla/shared';
import { z } from 'zod';

import { elapsedSince } from './clock.ts';
import type { Deps } from './deps.ts';
import { MomentFile } from './local/journal.ts';
import { createNotifier, type Notifier } from './notifier.ts';

/** `applied.json`: the generation this host follows, written before it is acted on. */
export const Applied = z.object({
  eligibility: z.string(),
  eligibility_generation: z.int(),
  drain: z
    .object({
      generation: z.int(),
      on_deadline: z.string(),
      /** The deadline as time left from a moment of this host: clocks of two machines are never compared. */
      deadline: z.object({ from: MomentFile, remaining_ms: z.number() }).nullable(),
    })
    .nullable(),
});
export type Applied = z.infer<typeof Applied>;

/** What the coordinator last said about this agent, and so whether it may ask for work. */
export type Standing = {
  timings: Timings;
  applied: Applied;
  /** A beat of this process was answered. */
  heard: boolean;
  instance_conflict: boolean;
  protocol_unsupported: boolean;
  agent_gone: boolean;
  disk_full: boolean;
  claim_not_before_ms: number;
  /** Something here or among the attempts changed. */
  changed: Notifier;
  /** The coordinator should hear of a change before the next regular beat. */
  beat_soon: Notifier;
  beat_wanted: boolean;
};

// Until the first answer says better.
const DEFAULT_TIMINGS: Timings = {
  heartbeat_ms: 10_000,
  suspect_ms: 25_000,
  lost_ms: 45_000,
  lease_ms: 90_000,
  requeue_grace_ms: 30_000,
  claim_wait_s: 25,
  reconnect_delay_ms: 0,
};

/** What is known at start: only what was applied before. */
export const createStanding = (applied: Applied | null): Standing => ({
  timings: DEFAULT_TIMINGS,
  applied: applied ?? { eligibility: 'eligible', eligibility_generation: 0, drain: null },
  heard: false,
  instance_conflict: false,
  protocol_unsupported: false,
  agent_gone: false,
  disk_full: false,
  claim_not_before_ms: 0,
  changed: createNotifier(),
  beat_soon: createNotifier(),
  beat_wanted: false,
});

/** Asks for a beat before its time. */
export const wantBeat = (standing: Standing): void => {
  standing.beat_wanted = true;
  standing.beat_soon.notify();
};

/** Why no work may be asked for now; null when it may. */
export const claimBlock = ({ standing, link, clock }: Pick<Deps, 'standing' | 'link' | 'clock'>): string | null => {
  if (!standing.heard) return 'no beat was answered yet';
  if (standing.applied.eligibility !== 'eligible' || standing.applied.drain !== null) return 'ineligible';
  if (link.held !== null) return 'the token is refused';
  if (standing.instance_conflict) return 'another instance of this agent is active';
  if (standing.protocol_unsupported) return 'the coordinator does not speak this protocol version';
  if (standing.agent_gone) return 'the agent was deleted';
  if (standing.disk_full) return 'the disk is full';
  return clock.uptime_ms() < standing.claim_not_before_ms ? 'a returning fleet spreads' : null;
};

/** Milliseconds until the drain's deadline; null without one. */
export const drainRemaining = ({ standing, clock, host }: Pick<Deps, 'standing' | 'clock' | 'host'>): number | null => {
  const deadline = standing.applied.drain?.deadline ?? null;
  return deadline === null ? null : deadline.remaining_ms - elapsedSince(deadline.from, clock, host.boot_id);
};
