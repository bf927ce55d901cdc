import { createHash } from 'node:crypto';

import type { Timings } from '@flotilla/shared';

import type { Answer } from '../load/connection.ts';
import { runBeats } from './beat.ts';
import { runClaims } from './claim.ts';
import { createHost, createRun, endRun, type Host, type Observer, secretOf, type Work, type World } from './host.ts';
import { createLines, type Lines } from './lines.ts';
import { seeded } from './random.ts';
import { createTally, type Tally } from './tally.ts';
import { runAttempt } from './work.ts';

export type FleetOptions = {
  url: string;
  admin_token: string;
  agents: number;
  /** The same seed makes the same fleet: names, secrets, and every random number of every host. */
  seed: number;
  slots?: number;
  work?: Work;
  observer?: Observer;
};

/** Thousands of agents in one process, over real HTTP, each as faithful to agentd as its beats and claims show. */
export type SimulatedFleet = {
  hosts: Host[];
  tally: Tally;
  /** Starts agentd on a host, the first time or after a crash. */
  start(host: Host): void;
  /** kill -9: what its disk holds stays. */
  crash(host: Host): void;
  /** Hosts whose agentd runs and had a beat answered since then (by performance.now()). */
  answeredSince(ms: number): number;
  running(): number;
  /** Ends all of it at once. */
  stop(): void;
};

const LANES = 32;
const ATTEMPTS = 20;

/** One request that has to succeed: setting up happens against a coordinator that is there. */
const must = async (lines: Lines, path: string, token: string, body: unknown): Promise<unknown> => {
  let answer: Answer | null = null;
  for (let tries = 0; tries < ATTEMPTS; tries++) {
    answer = await lines.request({ method: 'POST', path, token, body, deadline_ms: 30_000 });
    if (answer.status < 300) return JSON.parse(answer.body);
    if (answer.status !== 503) break;
  }
  throw new Error(`POST ${path} answered ${answer?.status}: ${answer?.body}`);
};

const join = async (world: World, lines: Lines, options: FleetOptions, index: number): Promise<Host> => {
  const { seed, admin_token } = options;
  const { token } = (await must(lines, '/join_tokens', admin_token, { slots: world.slots })) as { token: string };
  const agent_token_sha256 = createHash('sha256').update(secretOf(seed, index)).digest('hex');
  const agent = { name: `sim-${seed}-${index}`, slots: world.slots, executors: ['command'] };
  const body = { join_token: token, agent, agent_token_sha256 };
  const joined = (await must(lines, '/agents/register', '', body)) as { agent: { id: number }; timings: Timings };
  return createHost(world, index, seed, joined.agent.id, joined.timings);
};

/** Registers all hosts; none runs yet. */
export const createSimulatedFleet = async (options: FleetOptions): Promise<SimulatedFleet> => {
  const { url, agents, slots = 1, work = { min_ms: 100, max_ms: 500, log_bytes: 200 }, observer = {} } = options;
  const tally = createTally();
  const world: World = { url: new URL(url), tally, work, slots, observer };
  const hosts: Host[] = [];
  const indexes = Array.from({ length: agents }, (_, index) => index).values(); // one iterator that the lanes share
  const lane = async () => {
    const lines = createLines(world.url, createTally());
    for (const index of indexes) hosts.push(await join(world, lines, options, index));
    lines.close();
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  hosts.sort((a, b) => a.index - b.index);
  const start = (host: Host) => {
    const run = createRun(host);
    host.run = run;
    host.heard = host.link_up = false;
    for (const attempt of host.attempts.values()) void runAttempt(host, run, attempt);
    void runBeats(host, run);
    void runClaims(host, run);
  };
  return {
    hosts,
    tally,
    start,
    crash: endRun,
    answeredSince: (ms) => hosts.filter((host) => host.run !== null && host.answered_ms >= ms).length,
    running: () => hosts.filter(({ run }) => run !== null).length,
    stop: () => hosts.forEach(endRun),
  };
};

/** Starts all hosts spread over this time, as a fleet that has been there for long. */
export const startSpread = async (fleet: SimulatedFleet, over_ms: number, seed: number): Promise<void> => {
  const random = seeded(seed);
  await Promise.all(
    fleet.hosts.map(
      (host) =>
        new Promise<void>((resolve) => {
          setTimeout(() => {
            fleet.start(host);
            resolve();
          }, random() * over_ms);
        }),
    ),
  );
};
