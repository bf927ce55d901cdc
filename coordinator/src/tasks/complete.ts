import type { api, RouteInput, TaskStatus } from '@flotilla/shared';
import { AppError } from '@flotilla/shared';

import { inRounds } from '../db/batcher.ts';
import type { Database } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { announce, announceEnded } from './announce.ts';
import { digestReport, type Held, lockAttempts } from './attempt-row.ts';
import { keepLateReport, storeReportExtras } from './settle.ts';

type Body = RouteInput<typeof api.tasks.complete>['body'];
export type Completion = { principal: Principal; task_id: number; body: Body; digest: Uint8Array };
/** The error of a report that is refused; its evidence is stored all the same. */
export type Completed = { status: TaskStatus } | AppError;

/**
 * Delivers a result. Judged on its attempt: the same report again answers as before whatever came later; an attempt
 * whose lease ran out is still welcome while nobody else claimed the task; anything else is late, kept and refused.
 */
export const completeTask = async (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.complete>,
): Promise<{ status: TaskStatus }> => {
  const digest = digestReport('complete', body);
  const outcome = await deps.batches.completions(deps, { principal, task_id: params.id, body, digest });
  deps.metrics.reports.inc({ kind: 'complete', verdict: outcome instanceof AppError ? 'late' : 'accepted' });
  if (outcome instanceof AppError) throw outcome;
  return outcome;
};

/** Takes the results of many attempts in one transaction. A second report of one task must see the first: it waits. */
export const storeCompletions = (deps: Deps, items: Completion[]): Promise<Completed[]> =>
  inRounds(
    items,
    ({ task_id }) => task_id,
    (round) => deps.db.transaction((db) => storeDistinct({ ...deps, db }, round)),
  );

type Accepted = { held: Held; body: Body; digest: Uint8Array };

const storeDistinct = async (deps: Deps, items: Completion[]): Promise<Completed[]> => {
  const { db } = deps;
  const claims = items.map(({ principal, task_id, body }) => ({ principal, task_id, epoch: body.epoch }));
  const found = await lockAttempts(deps, claims);
  const accepted: Accepted[] = [];
  const outcomes: Completed[] = [];
  for (const [index, { body, digest }] of items.entries()) {
    const held = found[index];
    if (held === undefined || held instanceof AppError) outcomes.push(held ?? new AppError('not_found'));
    else if (held.attempt.report_digest !== null && Buffer.compare(held.attempt.report_digest, digest) === 0)
      outcomes.push({ status: held.task.status });
    else if (!held.live && !held.latest_unclaimed) outcomes.push(await keepLateReport(db, held, 'complete', body));
    else {
      accepted.push({ held, body, digest });
      outcomes.push({ status: statusAfter(held) });
    }
  }
  // Sent together: the rows are locked, so what the events say is known already.
  const [rows] = await Promise.all([
    acceptResults(db, accepted),
    recordEvents(db, accepted.map(completedEvent)),
    storeReportExtras(
      db,
      accepted.map(({ held, body }) => ({ held, report: body })),
    ),
  ]);
  if (rows.length !== accepted.length) throw new Error('a task changed under its lock');
  announce(deps, null);
  announceEnded(
    deps,
    accepted.map(({ held }) => held.task),
  );
  db.afterCommit(() => {
    for (const { held } of accepted) deps.hub.raise('log', held.attempt.id);
  });
  return outcomes;
};

const statusAfter = ({ task }: Held): TaskStatus => (task.review === 'human' ? 'review' : 'done');

const completedEvent = ({ held }: Accepted) => {
  const { task, attempt } = held;
  const status = statusAfter(held);
  return {
    type: status === 'done' ? ('task.completed' as const) : ('task.review' as const),
    entity_id: task.id,
    workspace_id: task.workspace_id,
    version: task.version + 1,
    agent_id: task.claimed_by_agent_id,
    summary: { status, epoch: attempt.epoch, cancel_requested: task.cancel_requested_at !== null },
  };
};

/** An attempt that had lost its lease delivered after all: its end stays when it was. Everything here is locked. */
const acceptResults = async ({ sql }: Database, accepted: Accepted[]): Promise<{ id: number }[]> => {
  if (accepted.length === 0) return [];
  return sql<{ id: number }[]>`
    with report as materialized (
      select * from unnest(${accepted.map(({ held }) => held.task.id)}::bigint[], ${accepted.map(({ held }) => held.attempt.id)}::bigint[],
        ${accepted.map(({ held }) => held.attempt.epoch)}::bigint[], ${accepted.map(({ held }) => statusAfter(held))}::text[],
        ${accepted.map(({ body }) => body.exit_code ?? null)}::int[], ${accepted.map(({ body }) => body.session_id ?? null)}::text[],
        ${accepted.map(({ digest }) => Buffer.from(digest).toString('hex'))}::text[], ${accepted.map(({ body }) => body.resolution)}::text[],
        ${accepted.map(({ body }) => (body.result === undefined ? null : JSON.stringify(body.result)))}::text[])
        as r (task_id, attempt_id, epoch, status, exit_code, session_id, digest, resolution, result)
    ), at as materialized (select flotilla_now() as now), lease as (
      delete from leases l using report r where l.task_id = r.task_id and l.epoch = r.epoch
    ), attempt as (
      update attempts a set state = 'completed', ended_at = coalesce(a.ended_at, at.now), exit_code = r.exit_code, failure = null,
        session_id = coalesce(r.session_id, a.session_id), report_digest = decode(r.digest, 'hex')
      from report r, at where a.id = r.attempt_id
    )
    update tasks t set status = r.status, claimed_by_agent_id = null, resolution = r.resolution, result = r.result::jsonb, failure = null,
      deferred_until = null, completed_at = case when r.status = 'done' then at.now end, version = t.version + 1, updated_at = at.now
    from report r, at where t.id = r.task_id and t.epoch = r.epoch and t.status in ('in_progress', 'inbox', 'assigned')
    returning t.id`;
};
