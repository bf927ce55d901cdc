import { type Alarm, createAlarm } from '@flotilla/shared';

import { createBatcher } from '../../db/batcher.ts';
import type { Deps } from '../../deps.ts';
import type { Caller } from '../../principal.ts';
import { classMatches, type Matchable } from '../queue-classes.ts';
import { claimBatch, type ClaimRequest, type ClaimResult } from './batch.ts';

/** A claim that nobody wakes looks again by itself when so many glances for all found nothing for it. */
const GLANCES = 6;

/** What may change while an agent waits: these refusals keep its claim parked. */
const passing = new Set<ClaimResult['refused']>(['at_capacity', 'paused']);

/**
 * So many who might have had a task look in vain before it counts as gone. One would do, but that its row may have been
 * locked just then by somebody who gives it back; to ask all who wait, one after the other, held up a whole fleet.
 */
const MISSES = 3;

/** Why a waiter looks again: a class with work, who already looked in vain for it, and how many of them were free to take it. */
type Hint = { queue_class_id: number; tried: Set<number>; misses: number };

/**
 * One agent's parked claim. A hint that comes while it scans is kept for the next look, and so is the alarm. What the
 * agent matches is known once it has scanned; until then every hint may be for it.
 */
type Waiter = { agent_id: number; agent: Matchable | null; alarm: Alarm; hint: Hint | null; ended: boolean };

/**
 * Where claims wait. One parked claim per agent: a newer one ends the older. A waiter registers before its first scan,
 * so that a task created in between is not missed. Every few seconds one glance for all who wait finds what no hint told
 * of (glance.ts), and after some of them each looks for itself: the agent may have changed.
 */
export type ClaimDesk = {
  /** Resolves with what the agent got, empty when the wait is over or was ended. */
  claim(deps: Deps, request: ClaimRequest, wait_ms: number, caller: Caller): Promise<ClaimResult>;
  /** Ends the parked claim of an agent: it drains, or should beat at once. */
  end(agent_id: number): void;
  /** Wakes as many matching waiters as there are tasks, longest-waiting first. */
  wake(deps: Deps, queue_class_id: number, count: number): void;
  parked(): number;
  /** The classes that those who wait may claim from. */
  awaited(deps: Deps): number[];
};

export const createClaimDesk = (): ClaimDesk => {
  const waiters = new Map<number, Waiter>();
  const scan = createBatcher(claimBatch, { max: 256, lanes: 2, weigh: ({ slots }) => slots });

  const claim: ClaimDesk['claim'] = async (deps, request, wait_ms, caller) => {
    const { agent_id } = request;
    end(agent_id);
    const waiter: Waiter = { agent_id, agent: null, alarm: createAlarm(), hint: null, ended: false };
    waiters.delete(agent_id);
    waiters.set(agent_id, waiter);
    const deadline = performance.now() + wait_ms;
    let signal: AbortSignal | null = null;
    try {
      for (;;) {
        // A closed socket must not claim: its answer would reach nobody until the lease runs out.
        if (caller.gone() || waiter.ended) return { tasks: [], refused: null, agent: waiter.agent };
        const hint = waiter.hint;
        waiter.hint = null;
        const left = deadline - performance.now();
        const result = await scan(deps, request);
        waiter.agent = result.agent;
        if (result.tasks.length > 0) return result;
        if (hint !== null) pass(deps, { ...hint, misses: hint.misses + (result.refused === null ? 1 : 0) }, agent_id);
        if (left <= 0 || (result.refused !== null && !passing.has(result.refused))) return result;
        const rescan_ms = GLANCES * deps.config.FLOTILLA_RESCAN_MS * (0.8 + 0.4 * deps.random());
        signal ??= caller.until();
        await waiter.alarm.sleep(Math.min(deadline - performance.now(), rescan_ms), signal);
        // Its socket is closed, or this coordinator stops: it would wait no more, and scan without end.
        if (signal.aborted) return result;
      }
    } finally {
      if (waiters.get(agent_id) === waiter) waiters.delete(agent_id);
      // It goes without having looked: whoever woke it counted on it.
      if (waiter.hint !== null) pass(deps, waiter.hint, agent_id);
    }
  };

  const end = (agent_id: number) => {
    const waiter = waiters.get(agent_id);
    if (waiter === undefined) return;
    waiter.ended = true;
    waiter.alarm.ring();
  };

  const wake = (deps: Deps, hint: Hint, count: number) => {
    const queue_class = deps.classes.get(hint.queue_class_id);
    let left = count;
    for (const waiter of waiters.values()) {
      if (left === 0) return;
      // An unknown class was just made elsewhere: whoever it is for will see it when it looks.
      if (queue_class !== null && waiter.agent !== null && !classMatches(queue_class, waiter.agent)) continue;
      if (waiter.hint !== null || hint.tried.has(waiter.agent_id)) continue;
      waiter.hint = { ...hint, tried: new Set(hint.tried) };
      waiter.alarm.ring();
      left -= 1;
    }
  };

  // It was woken and got nothing, or went away: the next one may have more luck.
  const pass = (deps: Deps, hint: Hint, agent_id: number) => {
    if (hint.misses >= MISSES) return;
    hint.tried.add(agent_id);
    wake(deps, hint, 1);
  };

  return {
    claim,
    end,
    wake: (deps, queue_class_id, count) => wake(deps, { queue_class_id, tried: new Set(), misses: 0 }, count),
    parked: () => waiters.size,
    awaited: (deps) => {
      const classes = new Set<number>();
      for (const { agent } of waiters.values()) {
        if (agent !== null) for (const id of deps.classes.matching(agent)) classes.add(id);
      }
      return [...classes];
    },
  };
};
