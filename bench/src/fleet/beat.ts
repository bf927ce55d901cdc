import { type BeatAnswer, beatPause, pace } from '@flotilla/shared';

import type { Host, Run } from './host.ts';

const takeAnswer = (host: Host, run: Run, answer: BeatAnswer): void => {
  const { tally } = host.world;
  const news = !host.link_up;
  tally.add('beats');
  host.link_up = host.heard = true;
  host.answered_ms = performance.now();
  host.timings = answer.timings;
  if (news) host.claim_not_before_ms = performance.now() + answer.timings.reconnect_delay_ms;
  if (answer.eligibility_generation !== host.eligibility_generation) host.beat_wanted = true;
  host.eligibility_generation = answer.eligibility_generation;
  host.may_claim = answer.eligibility === 'eligible' && answer.drain === null;
  for (const { epoch, verdict } of answer.attempts) {
    const attempt = host.attempts.get(epoch);
    if (attempt === undefined || attempt.phase === 'reporting') continue;
    if (verdict === 'lost' || verdict === 'cancel') attempt.stop ??= verdict === 'lost' ? 'lost' : 'cancelled';
  }
  // Whoever waits for the channel, or for a verdict, looks again; sleeping programs find theirs at once.
  for (const nap of run.naps) if (nap !== run.beat_nap) nap.wake();
};

const sendBeat = async (host: Host, run: Run): Promise<void> => {
  const { id, token, eligibility_generation, world } = host;
  const eligible = host.may_claim;
  const body = {
    instance_id: run.instance_id,
    boot_id: `boot-${id}`,
    machine_id: `machine-${id}`,
    seq: host.seq++,
    state: eligible ? 'running' : host.attempts.size > 0 ? 'draining' : 'drained',
    slots: world.slots,
    executors: ['command'],
    isolation: 'none',
    eligibility_generation,
    attempts: [...host.attempts.values()].map(({ task_id, epoch, phase }) => ({ task_id, epoch, phase })),
    outbox: { pending: 0, dead: 0, held: false },
    resources: { load_1m: 0.5, memory_free_bytes: 1e9, disk_free_bytes: 1e10 },
  };
  const deadline_ms = Math.max(10_000, host.timings.heartbeat_ms);
  try {
    const path = `/agents/${id}/heartbeat`;
    const answer = await run.lines.request({ method: 'POST', path, token, body, deadline_ms });
    if (run.over) return;
    if (answer.status === 200) takeAnswer(host, run, JSON.parse(answer.body) as BeatAnswer);
    else host.link_up = false;
  } catch {
    host.link_up = false;
  }
};

/** Beats until the process ends: at once, then regularly, and sooner when there is news. As agentd's heartbeat loop. */
export const runBeats = async (host: Host, run: Run): Promise<void> => {
  while (!run.over) {
    host.beat_wanted = false;
    await sendBeat(host, run);
    if (run.over) return;
    await run.beat_nap.take(pace.beat_gap_ms);
    if (!host.beat_wanted && !run.over) await run.beat_nap.take(beatPause(host.timings, host.random));
  }
};
