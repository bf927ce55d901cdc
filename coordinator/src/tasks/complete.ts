import type { api, RouteInput, TaskStatus } from '@flotilla/shared';
import { AppError } from '@flotilla/shared';

import type { Database } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { announce } from './announce.ts';
import { digestReport, type Held, lockAttempt } from './attempt-row.ts';
import { endAttempt } from './lifecycle.ts';
import { keepLateReport, storeReportExtras } from './settle.ts';

type Input = RouteInput<typeof api.tasks.complete>;

/**
 * Delivers a result. Judged on its attempt: the same report again answers as before whatever came later; an attempt
 * whose lease ran out is still welcome while nobody else claimed the task; anything else is late, kept and refused.
 */
export const completeTask = async (
  deps: Deps,
  principal: Principal,
  { params, body }: Input,
): Promise<{ status: TaskStatus }> => {
  const digest = digestReport('complete', body);
  const outcome = await deps.db.transaction(async (db) => {
    const held = await lockAttempt(db, principal, params.id, body.epoch);
    if (held.attempt.report_digest !== null && Buffer.compare(held.attempt.report_digest, digest) === 0)
      return { status: held.task.status };
    if (!held.live && !held.latest_unclaimed) return keepLateReport(db, held, 'complete', body);
    const status = await acceptResult(db, held, body, digest);
    await storeReportExtras(db, held, principal.workspace_id, body);
    announce({ ...deps, db }, null);
    db.afterCommit(() => deps.hub.raise('log', held.attempt.id));
    return { status };
  });
  deps.metrics.reports.inc({ kind: 'complete', verdict: outcome instanceof AppError ? 'late' : 'accepted' });
  if (outcome instanceof AppError) throw outcome;
  return outcome;
};

const acceptResult = async (db: Database, held: Held, body: Input['body'], digest: Uint8Array): Promise<TaskStatus> => {
  const { attempt, task } = held;
  const end = {
    state: 'completed',
    exit_code: body.exit_code ?? null,
    session_id: body.session_id ?? null,
    report_digest: digest,
  } as const;
  if (!(await endAttempt(db, attempt, end))) {
    // The lease ran out and nobody claimed since: the attempt was lost, now it delivered.
    await db.sql`update attempts set state = 'completed', exit_code = ${end.exit_code}, report_digest = ${digest} where id = ${attempt.id}`;
  }
  const status: TaskStatus = task.review === 'human' ? 'review' : 'done';
  const [row] = await db.sql<{ version: number }[]>`
    update tasks set status = ${status}, claimed_by_agent_id = null, resolution = ${body.resolution},
      result = ${body.result === undefined ? null : JSON.stringify(body.result)}::text::jsonb, failure = null, deferred_until = null,
      completed_at = case when ${status === 'done'} then flotilla_now() end, version = version + 1, updated_at = flotilla_now()
    where id = ${task.id} and epoch = ${attempt.epoch} and status in ('in_progress', 'inbox', 'assigned')
    returning version`;
  if (row === undefined) throw new Error(`task ${task.id} changed under its lock`);
  await recordEvents(db, [
    {
      type: status === 'done' ? 'task.completed' : 'task.review',
      entity_id: task.id,
      workspace_id: task.workspace_id,
      version: row.version,
      agent_id: task.claimed_by_agent_id,
      summary: { status, epoch: attempt.epoch, cancel_requested: task.cancel_requested_at !== null },
    },
  ]);
  return status;
};
