import type { PeerJob } from './peers/main.ts';

/** How much a run measures. Every bound is here; the scenarios hold none. */
export type Scale = {
  rounds: number;
  /** At most so many where a round means watching or waiting for a long time. */
  long_rounds: number;
  /** One run of one side. */
  run_ms: number;
  agents: number;
  /** Claimable tasks: what the coordinator is compared with itself at. */
  queued: { small: number; usual: number; large: number };
  /** A small queue is empty in no time, so it is filled and emptied this often per run. */
  bursts: number;
  classes: number;
  sql_clients: number[];
  parked: number[];
  dispatches: number;
  burst: number;
  readers: number;
  events_per_s: number;
  idle_agents: number;
  /** How long somebody idle is watched, and left alone before that. */
  watch_ms: number;
  settle_ms: number;
  /** The same for agentd, which uses so little that a shorter watch could not tell; what its start leaves behind is over then. */
  agentd_watch_ms: number;
  agentd_settle_ms: number;
  peer_jobs: number;
  peer_phases: PeerJob['phase'][];
  /** A whole `make start` per round takes as long as everything else here. */
  whole_start: boolean;
};

export const FULL: Scale = {
  rounds: 5,
  long_rounds: 3,
  run_ms: 2_000,
  agents: 512,
  queued: { small: 1_000, usual: 100_000, large: 1_000_000 },
  bursts: 5,
  classes: 50,
  sql_clients: [1, 4, 16, 32],
  parked: [1, 1_000, 5_000],
  dispatches: 300,
  burst: 1_000,
  readers: 500,
  events_per_s: 200,
  idle_agents: 1_000,
  watch_ms: 10_000,
  settle_ms: 3_000,
  agentd_watch_ms: 30_000,
  agentd_settle_ms: 15_000,
  peer_jobs: 20_000,
  peer_phases: ['add', 'drain', 'both'],
  whole_start: true,
};

/** Enough to see that every scenario still works; its figures mean nothing. */
export const SMOKE: Scale = {
  rounds: 1,
  long_rounds: 1,
  run_ms: 150,
  agents: 16,
  queued: { small: 60, usual: 200, large: 400 },
  bursts: 1,
  classes: 3,
  sql_clients: [4],
  parked: [1, 10],
  dispatches: 5,
  burst: 10,
  readers: 5,
  events_per_s: 50,
  idle_agents: 10,
  watch_ms: 300,
  settle_ms: 100,
  agentd_watch_ms: 300,
  agentd_settle_ms: 100,
  peer_jobs: 200,
  peer_phases: ['drain', 'both'], // which adds, too
  whole_start: false,
};

export const longRounds = ({ rounds, long_rounds }: Scale): number => Math.min(rounds, long_rounds);
