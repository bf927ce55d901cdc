import type { api, RouteInput, TaskStatus } from '@flotilla/shared';
import { AppError, backoffDelay } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { announce, announceEnded } from './announce.ts';
import { digestReport, lockAttempt } from './attempt-row.ts';
import { endAttempt, returnTask, type TaskRow } from './lifecycle.ts';
import { keepLateReport, storeReportExtras } from './settle.ts';

type Input = RouteInput<typeof api.tasks.fail>;

/**
 * Reports a failure. Retryable ones return to the queue with full-jitter back-off (not before `retry_after_s`), until
 * the limits; final ones fail the task; `cancelled` confirms a cancel.
 */
export const failTask = async (
  deps: Deps,
  principal: Principal,
  { params, body }: Input,
): Promise<{ status: TaskStatus }> => {
  const digest = digestReport('fail', body);
  const outcome = await deps.db.transaction(async (db) => {
    const held = await lockAttempt({ ...deps, db }, principal, params.id, body.epoch);
    if (held.attempt.report_digest !== null && Buffer.compare(held.attempt.report_digest, digest) === 0)
      return { status: held.task.status };
    if (!held.live) return keepLateReport(db, held, 'fail', body);
    const failure = { kind: body.kind, message: body.message };
    const cancelled = body.kind === 'cancelled' && held.task.cancel_requested_at !== null;
    await endAttempt(db, held.attempt, {
      state: cancelled ? 'cancelled' : 'failed',
      failure,
      exit_code: body.exit_code ?? null,
      session_id: body.session_id ?? null,
      report_digest: digest,
    });
    await storeReportExtras(db, { held, report: body });
    const status = await returnTask(db, held.task, {
      counter: body.retryable ? 'dispatch_attempts' : null,
      failure,
      defer_ms: retryDelay(deps, held.task, body.retry_after_s ?? 0),
      final: !body.retryable,
      event: 'task.requeued',
    });
    announceEnded({ ...deps, db }, [held.task]);
    announce({ ...deps, db }, null);
    db.afterCommit(() => deps.hub.raise('log', held.attempt.id));
    return { status };
  });
  deps.metrics.reports.inc({ kind: 'fail', verdict: outcome instanceof AppError ? 'late' : 'accepted' });
  if (outcome instanceof AppError) throw outcome;
  return outcome;
};

const retryDelay = (deps: Deps, task: TaskRow, retry_after_s: number): number => {
  const backoff = { min_ms: deps.config.FLOTILLA_RETRY_MIN_MS, max_ms: deps.config.FLOTILLA_RETRY_MAX_MS };
  return retry_after_s * 1000 + backoffDelay(task.dispatch_attempts, backoff, deps.random);
};
