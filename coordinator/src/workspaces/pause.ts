import { type api, AppError, type RouteInput, type RouteOutput, type Workspace } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import { type Principal, principalLabel } from '../principal.ts';
import { cancelTask } from '../tasks/cancel.ts';
import { wakeWorkspace } from '../tasks/wake.ts';
import { readWorkspace } from './queries.ts';

type Pause = { reason: string | null; action: 'pause' | 'stop' | 'resume' };

/**
 * Pauses a workspace: no claim commits after this answers. With `kill` what runs is cancelled, too, each task by the
 * ordinary verb. The pause is committed first; a call that was cut short may be repeated and cancels the rest.
 */
export const pauseWorkspace = async (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.workspaces.pause>,
): Promise<RouteOutput<typeof api.workspaces.pause>> => {
  const { kill, reason } = body;
  const workspace = await setPaused(deps, principal, params.id, {
    reason: reason ?? null,
    action: kill ? 'stop' : 'pause',
  });
  return { workspace, cancelling: kill ? await cancelRunning(deps, principal, reason) : 0 };
};

/** Ends a pause; parked claims look again at once. */
export const resumeWorkspace = async (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.workspaces.resume>,
): Promise<Workspace> => {
  const workspace = await setPaused(deps, principal, params.id, { reason: null, action: 'resume' });
  await wakeWorkspace(deps, workspace.id);
  return workspace;
};

/** Workspace first, then every agent of it: registration takes the workspace, claims take the agents in the same order. */
const setPaused = (deps: Deps, principal: Principal, id: number, { reason, action }: Pause): Promise<Workspace> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    if (id !== principal.workspace_id) throw new AppError('not_found', { sentence: `There is no workspace ${id}.` });
    const paused = action !== 'resume';
    const by = principalLabel(principal);
    await sql`
      update workspaces set paused_at = case when ${paused} then coalesce(paused_at, flotilla_now()) end,
        paused_by = case when ${paused} then ${by}::text end, pause_reason = case when ${paused} then ${reason}::text end
      where id = ${id}`;
    // Waits for every claim that did not see it: each holds its agent's row.
    await sql`
      update agents set workspace_paused = ${paused} from (
        select id from agents where workspace_id = ${id} and deleted_at is null order by id for no key update) locked
      where agents.id = locked.id and workspace_paused <> ${paused}`;
    const past = { pause: 'paused', stop: 'stopped', resume: 'resumed' } as const;
    await recordEvents(db, [
      { type: `workspace.${past[action]}`, entity_id: id, workspace_id: id, version: 1, summary: { by } },
    ]);
    await recordAudit(db, principal, {
      action: `workspace.${action}`,
      entity: 'workspace',
      entity_id: id,
      details: { reason },
    });
    db.afterCommit(() => deps.hub.raise('unsequenced'));
    return readWorkspace({ ...deps, db }, id);
  });

const cancelRunning = async (deps: Deps, principal: Principal, reason: string | undefined): Promise<number> => {
  const running = await deps.db.sql<{ id: number }[]>`
    select task_id as id from leases l join tasks t on t.id = l.task_id
    where l.workspace_id = ${principal.workspace_id} and t.cancel_requested_at is null order by task_id`;
  let asked = 0;
  for (const { id } of running) {
    // Ended meanwhile: what was wanted, by itself.
    const over = (error: unknown) =>
      error instanceof AppError && ['invalid_transition', 'not_found'].includes(error.code);
    await cancelTask(deps, principal, { params: { id }, body: { reason } }).then(
      () => (asked += 1),
      (error: unknown) => {
        if (!over(error)) throw error;
      },
    );
  }
  return asked;
};
