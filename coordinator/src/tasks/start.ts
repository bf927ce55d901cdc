import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { announce } from './announce.ts';
import { leaseLost, lockAttempt } from './attempt-row.ts';

/** The executor runs. Repeating it changes nothing. */
export const startTask = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.start>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const held = await lockAttempt(db, principal, params.id, body.epoch);
    if (!held.live) throw leaseLost(held);
    if (held.attempt.state === 'running') return null;
    await db.sql`
      update attempts set state = 'running', started_at = flotilla_now(), executor = coalesce(${body.executor ?? null}, executor),
        session_id = coalesce(${body.session_id ?? null}, session_id)
      where id = ${held.attempt.id}`;
    const [row] = await db.sql<{ version: number }[]>`
      update tasks set started_at = coalesce(started_at, flotilla_now()), version = version + 1, updated_at = flotilla_now()
      where id = ${held.task.id} returning version`;
    await recordEvents(db, [
      {
        type: 'task.started',
        entity_id: held.task.id,
        workspace_id: principal.workspace_id,
        version: row?.version ?? held.task.version,
        agent_id: principal.id,
        summary: { status: 'in_progress', epoch: body.epoch },
      },
    ]);
    announce({ ...deps, db }, null);
    return null;
  });
