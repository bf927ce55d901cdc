import { createHash } from 'node:crypto';

import { type Timings } from '@flotilla/shared';

import { createLines, type Lines } from './lines.ts';
import { createNap, type Nap } from './nap.ts';
import { seeded } from './random.ts';
import type { Tally } from './tally.ts';

export type Attempt = {
  task_id: number;
  epoch: number;
  phase: 'claimed' | 'running' | 'reporting';
  /** When its program ends, by performance.now(): it goes on while its agentd is dead. */
  ends_ms: number;
  stop: 'cancelled' | 'lost' | null;
};

/** What the simulated programs do. */
export type Work = { min_ms: number; max_ms: number; log_bytes: number };

/** Told of every program that begins and every report that was accepted, for those who keep a ledger. */
export type Observer = {
  started?(task_id: number, epoch: number, host: number): void;
  completed?(task_id: number, epoch: number): void;
};

/** What all hosts of a fleet share. */
export type World = { url: URL; tally: Tally; work: Work; slots: number; observer: Observer };

/** One process of agentd on a host: ends with a crash, and then a new one may begin on the same files. */
export type Run = { over: boolean; lines: Lines; beat_nap: Nap; claim_nap: Nap; naps: Set<Nap>; instance_id: string };

/** A host: what its disk holds, and what its agentd last heard. Some hundred bytes beside its two connections. */
export type Host = {
  world: World;
  index: number;
  id: number;
  token: string;
  random: () => number;
  /** Claimed and not yet reported, by epoch; like the claim id it outlives a crash. */
  attempts: Map<number, Attempt>;
  claim_id: string | null;
  claims_made: number;
  runs: number;
  seq: number;
  timings: Timings;
  eligibility_generation: number;
  may_claim: boolean;
  link_up: boolean;
  heard: boolean;
  claim_not_before_ms: number;
  beat_wanted: boolean;
  /** Of the last beat that was answered. */
  answered_ms: number;
  run: Run | null;
};

/** The agent's secret follows from seed and index, so that a later simulator can be the same fleet. */
export const secretOf = (seed: number, index: number): string =>
  `fla_sim${createHash('sha256').update(`${seed}/${index}`).digest('hex')}`;

export const createHost = (world: World, index: number, seed: number, id: number, timings: Timings): Host => ({
  world,
  index,
  id,
  token: secretOf(seed, index),
  random: seeded(seed * 1_000_003 + index),
  attempts: new Map(),
  claim_id: null,
  claims_made: 0,
  runs: 0,
  seq: 0,
  timings,
  eligibility_generation: 0,
  may_claim: true,
  link_up: false,
  heard: false,
  claim_not_before_ms: 0,
  beat_wanted: false,
  answered_ms: 0,
  run: null,
});

export const createRun = (host: Host): Run => {
  host.runs += 1;
  const beat_nap = createNap();
  const claim_nap = createNap();
  return {
    over: false,
    lines: createLines(host.world.url, host.world.tally),
    beat_nap,
    claim_nap,
    naps: new Set([beat_nap, claim_nap]),
    instance_id: `sim-${host.id}-${host.runs}`,
  };
};

/** Ends a process as kill -9 does: its connections vanish, and nothing of it happens any more. */
export const endRun = (host: Host): void => {
  const { run } = host;
  if (run === null) return;
  host.run = null;
  run.over = true;
  run.lines.close();
  for (const nap of run.naps) nap.wake();
};

/** A sleep of one attempt's own, which ends with the process. */
export const napIn = async (run: Run, nap: Nap, ms: number): Promise<void> => {
  if (run.over) return;
  run.naps.add(nap);
  await nap.take(ms);
  run.naps.delete(nap);
};

export const wantBeat = (host: Host): void => {
  host.beat_wanted = true;
  host.run?.beat_nap.wake();
};
