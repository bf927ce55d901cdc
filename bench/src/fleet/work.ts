import { backoffDelay, pace } from '@flotilla/shared';

import type { Answer } from '../load/connection.ts';
import { type Attempt, type Host, napIn, type Run } from './host.ts';
import { NoAnswerError } from './lines.ts';
import { createNap } from './nap.ts';

type Sent = { path: string; body?: unknown; bytes?: Buffer };

const isFinal = ({ status, body }: Answer): boolean =>
  status < 300 || status === 400 || status === 422 || (status === 409 && body.includes('lease_lost'));

/** Sends until there is an answer that settles it, as agentd does with all that it reports; null when the process ended. */
const deliver = async (host: Host, run: Run, sent: Sent): Promise<Answer | null> => {
  const nap = createNap();
  for (let tries = 0; !run.over; tries++) {
    try {
      const answer = await run.lines.request({ method: 'POST', token: host.token, deadline_ms: 30_000, ...sent });
      if (isFinal(answer)) return answer;
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error;
    }
    const was_down = !host.link_up;
    const end = performance.now() + backoffDelay(tries, pace.report, host.random);
    const restored = () => was_down && host.link_up;
    while (!run.over && performance.now() < end && !restored()) await napIn(run, nap, end - performance.now());
    const left_ms = end - performance.now();
    if (left_ms > 0) await napIn(run, nap, Math.min(left_ms, host.random() * pace.outbox_spread_ms));
  }
  return null;
};

const runProgram = async (run: Run, attempt: Attempt): Promise<void> => {
  const nap = createNap();
  while (!run.over && attempt.stop === null && performance.now() < attempt.ends_ms)
    await napIn(run, nap, attempt.ends_ms - performance.now());
};

const report = (host: Host, attempt: Attempt): Sent => {
  const { task_id, epoch, stop } = attempt;
  const log_sizes = { stdout: host.world.work.log_bytes };
  if (stop === 'cancelled') {
    const body = { epoch, retryable: false, kind: 'cancelled', message: 'stopped as asked', log_sizes };
    return { path: `/tasks/${task_id}/fail`, body };
  }
  const body = { epoch, resolution: `done by ${host.index}`, exit_code: 0, log_sizes };
  return { path: `/tasks/${task_id}/complete`, body };
};

/** Drives one attempt to its end: announces it, lets its program run, uploads its log and reports. */
export const runAttempt = async (host: Host, run: Run, attempt: Attempt): Promise<void> => {
  const { tally, work, observer } = host.world;
  const { task_id, epoch } = attempt;
  if (attempt.phase === 'claimed') {
    attempt.phase = 'running';
    void deliver(host, run, { path: `/tasks/${task_id}/start`, body: { epoch, executor: 'command' } });
  }
  if (attempt.phase === 'running') await runProgram(run, attempt);
  if (run.over) return;
  if (attempt.stop !== 'lost') {
    attempt.phase = 'reporting';
    run.claim_nap.wake();
    const path = `/tasks/${task_id}/log?epoch=${epoch}&stream=stdout&offset=0`;
    if (work.log_bytes > 0) await deliver(host, run, { path, bytes: Buffer.alloc(work.log_bytes, 'log line\n') });
    const answer = await deliver(host, run, report(host, attempt));
    if (answer === null) return;
    if (answer.status < 300) observer.completed?.(task_id, epoch);
    if (answer.status < 300) tally.add(attempt.stop === null ? 'tasks_completed' : 'tasks_cancelled');
    else tally.add('leases_lost');
  } else tally.add('leases_lost');
  host.attempts.delete(epoch);
  run.claim_nap.wake();
};
