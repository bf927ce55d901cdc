import { AppError } from '@flotilla/shared';
import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { announce } from './announce.ts';
import { type Held, leaseLost, lockAttempts } from './attempt-row.ts';
import { renewHeld } from './renew.ts';

type Body = RouteInput<typeof api.tasks.start>['body'];
export type Start = { principal: Principal; task_id: number; body: Body };

/** The executor runs. Repeating it changes nothing. */
export const startTask = async (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.start>,
): Promise<null> => {
  const refused = await deps.batches.starts(deps, { principal, task_id: params.id, body });
  if (refused !== null) throw refused;
  return null;
};

/** Starts of many attempts in one transaction. Answers why one is refused, or null. */
export const storeStarts = (deps: Deps, items: Start[]): Promise<(AppError | null)[]> =>
  deps.db.transaction(async (db) => {
    const found = await lockAttempts(
      { ...deps, db },
      items.map(({ principal, task_id, body }) => ({ principal, task_id, epoch: body.epoch })),
    );
    // By attempt: the same start twice is one.
    const starting = new Map<number, { held: Held; body: Body }>();
    const outcomes = items.map(({ body }, index) => {
      const held = found[index];
      if (held === undefined || held instanceof AppError) return held ?? new AppError('not_found');
      if (!held.live) return leaseLost(held);
      if (held.attempt.state !== 'running') starting.set(held.attempt.id, { held, body });
      return null;
    });
    await renewHeld(
      db.sql,
      found.filter((held): held is Held => !(held instanceof AppError) && held.live),
    );
    await writeStarts({ ...deps, db }, [...starting.values()]);
    return outcomes;
  });

const writeStarts = async (deps: Deps, starting: { held: Held; body: Body }[]): Promise<void> => {
  if (starting.length === 0) return;
  const { db } = deps;
  // Sent together: the rows are locked, so what the events say is known already.
  await Promise.all([
    db.sql`
      with start as materialized (
        select * from unnest(${starting.map(({ held }) => held.task.id)}::bigint[], ${starting.map(({ held }) => held.attempt.id)}::bigint[],
          ${starting.map(({ body }) => body.executor ?? null)}::text[], ${starting.map(({ body }) => body.session_id ?? null)}::text[])
          as s (task_id, attempt_id, executor, session_id)
      ), at as materialized (select flotilla_now() as now), attempt as (
        update attempts a set state = 'running', started_at = at.now, executor = coalesce(s.executor, a.executor),
          session_id = coalesce(s.session_id, a.session_id)
        from start s, at where a.id = s.attempt_id and a.id = any(${starting.map(({ held }) => held.attempt.id)}::bigint[])
      )
      update tasks t set started_at = coalesce(t.started_at, at.now), version = t.version + 1, updated_at = at.now
      from start s, at where t.id = s.task_id and t.id = any(${starting.map(({ held }) => held.task.id)}::bigint[])`,
    recordEvents(
      db,
      starting.map(({ held: { task, attempt } }) => ({
        type: 'task.started',
        entity_id: task.id,
        workspace_id: task.workspace_id,
        version: task.version + 1,
        agent_id: task.claimed_by_agent_id,
        summary: { status: 'in_progress', epoch: attempt.epoch },
      })),
    ),
  ]);
  announce(deps, null);
};
