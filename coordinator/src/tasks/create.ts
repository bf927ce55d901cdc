import type { api, RouteInput, Task } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import { type Principal, principalLabel } from '../principal.ts';
import { announce } from './announce.ts';
import { bindTask } from './bind.ts';
import { getTask } from './queries.ts';
import { normalizeTags } from './queue-classes.ts';
import { indexNewTask } from './search/index-task.ts';

/** Creates a task: in the backlog, in the inbox, or assigned when a name is given. */
export const createTask = (
  deps: Deps,
  principal: Principal,
  { body }: RouteInput<typeof api.tasks.create>,
): Promise<Task> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    const { workspace_id } = principal;
    const assigned_to = body.assigned_to ?? null;
    const required_tags = normalizeTags(body.required_tags ?? []);
    const binding = await bindTask(deps, sql, {
      workspace_id,
      assigned_to,
      required_tags,
      executor: body.executor ?? null,
    });
    const status = body.status === 'backlog' ? 'backlog' : assigned_to === null ? 'inbox' : 'assigned';
    const [row] = await sql<{ id: number; deferred_until: string | null }[]>`
      insert into tasks (workspace_id, title, description, status, priority, due_date, tags, required_tags, assigned_to, assigned_agent_id,
        queue_class_id, executor, model, timeout_s, not_before, deferred_until, on_host_loss, review, metadata, created_by)
      values (${workspace_id}, ${body.title}, ${body.description ?? ''}, ${status}, ${body.priority ?? 'medium'}, ${body.due_date ?? null},
        ${body.tags ?? []}::text[], ${required_tags}::text[], ${assigned_to}, ${binding.assigned_agent_id}, ${binding.queue_class_id},
        ${body.executor ?? null}, ${body.model ?? null}, ${body.timeout_s ?? 3600}, ${body.not_before ?? null},
        case when ${body.not_before ?? null}::timestamptz > flotilla_now() then ${body.not_before ?? null}::timestamptz end,
        ${body.on_host_loss ?? 'requeue'}, ${body.review ?? 'auto'}, ${JSON.stringify(body.metadata ?? {})}::text::jsonb, ${principalLabel(principal)})
      returning id, deferred_until`;
    if (row === undefined) throw new Error('insert returned no row');
    await indexNewTask(db, row.id, { title: body.title, description: body.description ?? '' });
    const summary = { status, assigned_to };
    await recordEvents(db, [
      {
        type: 'task.created',
        entity_id: row.id,
        workspace_id,
        version: 1,
        agent_id: binding.assigned_agent_id,
        summary,
      },
    ]);
    await recordAudit(db, principal, { action: 'task.create', entity: 'task', entity_id: row.id, details: summary });
    announce({ ...deps, db }, status === 'backlog' || row.deferred_until !== null ? null : binding);
    return getTask({ ...deps, db }, principal, row.id);
  });
