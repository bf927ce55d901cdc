import { statfs } from 'node:fs/promises';
import { freemem, loadavg } from 'node:os';

import { ApiError, type Beat, type BeatAnswer, beatPause, pace, sleep } from '@flotilla/shared';

import { describeError, GONE_CONFIRM_MS, holdLink, readRefusal } from '../answers.ts';
import { momentNow } from '../clock.ts';
import { withDeadline } from '../deadline.ts';
import type { Deps } from '../deps.ts';
import { linkAnswered } from '../link.ts';
import { attemptKey, writeJsonFile } from '../local/journal.ts';
import { type Applied, wantBeat } from '../standing.ts';
import { requestStop, usesSlot } from '../task/attempt.ts';
import { renewLease } from '../task/lease.ts';
import { VERSION } from '../version.ts';

/** What makes beats of one process a sequence. */
export type Pulse = { instance_id: string; seq: number; gone_since_ms: number | null };

const beatState = ({ standing, attempts }: Deps): Beat['state'] => {
  if (standing.applied.eligibility === 'eligible' && standing.applied.drain === null) return 'running';
  return [...attempts.values()].some(usesSlot) ? 'draining' : 'drained';
};

const readResources = async ({ paths }: Deps): Promise<Record<string, number>> => {
  const disk = await statfs(paths.root);
  return { load_1m: loadavg()[0] ?? 0, memory_free_bytes: freemem(), disk_free_bytes: disk.bavail * disk.bsize };
};

const composeBeat = async (deps: Deps, pulse: Pulse, state: Beat['state']): Promise<Beat> => {
  const { host, config, executor, standing, attempts, outbox, link } = deps;
  const held = [...attempts.values()].filter(({ phase }) => phase !== 'acked');
  return {
    instance_id: pulse.instance_id,
    boot_id: host.boot_id,
    machine_id: host.machine_id ?? undefined,
    seq: pulse.seq++,
    state,
    version: VERSION,
    platform: host.platform,
    slots: config.slots,
    executors: [executor.name],
    isolation: 'none',
    eligibility_generation: standing.applied.eligibility_generation,
    attempts: held
      .slice(0, 1024)
      .map(({ record, phase }) => ({ task_id: record.task.id, epoch: record.task.epoch, phase })),
    outbox: {
      pending: held.filter(({ phase }) => phase === 'reporting').length,
      dead: outbox.dead,
      held: link.held !== null,
    },
    resources: await readResources(deps),
  };
};

/** Follows the verdicts on what this host holds. Only an explicit `lost` or `cancel` is an order; omission never is. */
const followVerdicts = async (deps: Deps, answer: BeatAnswer, sent_at_ms: number): Promise<void> => {
  for (const { task_id, epoch, verdict, lease_ms } of answer.attempts) {
    const attempt = deps.attempts.get(attemptKey({ id: task_id, epoch }));
    if (attempt === undefined) continue;
    if (verdict === 'renewed' || verdict === 'cancel') await renewLease(deps, attempt, sent_at_ms, lease_ms);
    if (verdict === 'lost') await requestStop(deps, attempt, 'lost');
    if (verdict === 'cancel') await requestStop(deps, attempt, 'cancelled');
  }
};

/** Writes down what the coordinator wants of this host before any loop acts on it. */
const applyDesired = async (deps: Deps, answer: BeatAnswer): Promise<void> => {
  const { standing, clock, host, paths, log } = deps;
  const before = standing.applied;
  const drain = answer.drain === null ? null : { ...answer.drain, from: momentNow(clock, host.boot_id) };
  const applied: Applied = {
    eligibility: answer.eligibility,
    eligibility_generation: answer.eligibility_generation,
    drain: drain && {
      generation: drain.generation,
      on_deadline: drain.on_deadline,
      deadline: drain.remaining_ms === null ? null : { from: drain.from, remaining_ms: drain.remaining_ms },
    },
  };
  standing.applied = applied;
  const known =
    before.eligibility_generation === applied.eligibility_generation &&
    before.drain?.generation === applied.drain?.generation;
  if (known && before.eligibility === applied.eligibility) return;
  try {
    await writeJsonFile(paths.applied, applied);
  } catch (error) {
    standing.applied = before;
    throw error;
  }
  log.info(
    { eligibility: applied.eligibility, generation: applied.eligibility_generation, drain: applied.drain },
    'applied what the coordinator wants',
  );
  wantBeat(standing);
};

const takeAnswer = async (deps: Deps, pulse: Pulse, answer: BeatAnswer, sent_at_ms: number): Promise<void> => {
  const { standing, link, clock, log } = deps;
  const news = linkAnswered(link);
  pulse.gone_since_ms = null;
  standing.timings = answer.timings;
  standing.instance_conflict = standing.protocol_unsupported = standing.agent_gone = false;
  // Only the first answer after silence spreads the fleet: later ones would push the first claim away for ever.
  if (news) standing.claim_not_before_ms = clock.uptime_ms() + answer.timings.reconnect_delay_ms;
  if (news) log.info({ status: answer.agent.status }, 'the coordinator answers');
  await applyDesired(deps, answer);
  standing.heard = true;
  await followVerdicts(deps, answer, sent_at_ms);
  standing.changed.notify();
};

const stopEverything = async (deps: Deps): Promise<void> => {
  for (const attempt of deps.attempts.values())
    await requestStop(deps, attempt, 'lost', { detail: 'The agent was deleted.' });
};

/** A beat without a good answer changes what may be asked for, never what runs; only a confirmed `agent_gone` does. */
const takeError = async (deps: Deps, pulse: Pulse, error: unknown): Promise<void> => {
  const { standing, link, clock, log } = deps;
  const refusal = readRefusal(error);
  const level = link.up || !standing.heard ? 'warn' : 'debug';
  const hint = error instanceof ApiError ? error.hint : null;
  log[level]({ error: describeError(error), hint }, 'beat not answered; running tasks go on');
  link.up = false;
  if (refusal === 'held') holdLink(deps, error as ApiError);
  const code = error instanceof ApiError ? error.code : null;
  if (code === 'instance_conflict') standing.instance_conflict = true;
  if (code === 'protocol_unsupported') standing.protocol_unsupported = true;
  if (refusal !== 'gone') pulse.gone_since_ms = null;
  else {
    standing.agent_gone = true;
    pulse.gone_since_ms ??= clock.uptime_ms();
    if (clock.uptime_ms() - pulse.gone_since_ms >= GONE_CONFIRM_MS) await stopEverything(deps);
  }
  standing.changed.notify();
};

/** Sends one beat and follows its answer. */
export const sendBeat = async (
  deps: Deps,
  pulse: Pulse,
  options: { state?: Beat['state']; deadline_ms: number; signal: AbortSignal },
): Promise<void> => {
  const { client, identity, clock } = deps;
  const body = await composeBeat(deps, pulse, options.state ?? beatState(deps));
  const sent_at_ms = clock.uptime_ms();
  let answer: BeatAnswer;
  try {
    answer = await withDeadline(options.deadline_ms, options.signal, (signal) =>
      client.agents.heartbeat({ params: { id: identity.agent_id }, body }, { signal }),
    );
  } catch (error) {
    if (!options.signal.aborted && options.state !== 'detached') await takeError(deps, pulse, error);
    return;
  }
  deps.crash('beat.sent');
  if (options.state !== 'detached') await takeAnswer(deps, pulse, answer, sent_at_ms);
};

/** Beats until the signal aborts: at once, then regularly, and sooner when there is news. */
export const runHeartbeat = async (deps: Deps, pulse: Pulse, signal: AbortSignal): Promise<void> => {
  const { standing, random, log } = deps;
  while (!signal.aborted) {
    standing.beat_wanted = false;
    try {
      await sendBeat(deps, pulse, { deadline_ms: Math.max(10_000, standing.timings.heartbeat_ms), signal });
    } catch (error) {
      log.error({ error: describeError(error) }, 'a beat could not be made or followed');
    }
    await sleep(pace.beat_gap_ms, signal);
    if (!standing.beat_wanted) await standing.beat_soon.wait(beatPause(standing.timings, random), signal);
  }
};
