import type { api, RouteInput, TaskStatus } from '@flotilla/shared';
import { AppError } from '@flotilla/shared';

import { inRounds } from '../db/batcher.ts';
import { inTime } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { announce, announceEnded } from './announce.ts';
import { digestReport, lockAttempts } from './attempt-row.ts';
import { keepLateReport } from './settle.ts';

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

/** Takes the results of many attempts in one call. A second report of one task must see the first: it waits. */
export const storeCompletions = (deps: Deps, items: Completion[]): Promise<Completed[]> =>
  inRounds(
    items,
    ({ task_id }) => task_id,
    (round) => storeDistinct(deps, round),
  );

type Accepted = { place: number; status: TaskStatus; attempt_id: number; concurrency_key: string | null };

/** What may be accepted is, in one round trip (drizzle/0011_complete_in_one_call.sql); the rest is told why not. */
const storeDistinct = async (deps: Deps, items: Completion[]): Promise<Completed[]> => {
  const extras = items.some(({ body }) => body.usage !== undefined || Object.keys(body.log_sizes).length > 0);
  const accepted = await inTime(
    deps.db.sql<Accepted[]>`
      select place, status, attempt_id, concurrency_key from flotilla_complete(${JSON.stringify(items.map(asReport))}::text::json, ${extras})`,
  );
  if (accepted.length > 0) announce(deps, null);
  announceEnded(deps, accepted);
  for (const { attempt_id } of accepted) deps.hub.raise('log', attempt_id);
  const byPlace = new Map(accepted.map((row) => [row.place, row]));
  const refused = items.filter((_, place) => !byPlace.has(place));
  const reasons = await refuse(deps, refused);
  return items.map((item, place): Completed => {
    const row = byPlace.get(place);
    return row === undefined ? (reasons[refused.indexOf(item)] ?? new AppError('not_found')) : { status: row.status };
  });
};

const asReport = ({ principal, task_id, body, digest }: Completion, place: number) => ({
  ...body,
  place,
  task_id,
  workspace_id: principal.workspace_id,
  [principal.kind === 'attempt' ? 'attempt_id' : 'agent_id']: principal.id,
  digest: Buffer.from(digest).toString('hex'),
});

/** A report that was stored before answers as it did then; one that came too late is kept as evidence. */
const refuse = async (deps: Deps, items: Completion[]): Promise<Completed[]> => {
  if (items.length === 0) return [];
  return deps.db.transaction(async (db) => {
    const claims = items.map(({ principal, task_id, body }) => ({ principal, task_id, epoch: body.epoch }));
    const found = await lockAttempts({ ...deps, db }, claims);
    const reasons: Completed[] = [];
    for (const [index, { body, digest }] of items.entries()) {
      const held = found[index];
      if (held === undefined || held instanceof AppError) reasons.push(held ?? new AppError('not_found'));
      else if (held.attempt.report_digest !== null && Buffer.compare(held.attempt.report_digest, digest) === 0)
        reasons.push({ status: held.task.status });
      else reasons.push(await keepLateReport(db, held, 'complete', body));
    }
    return reasons;
  });
};
