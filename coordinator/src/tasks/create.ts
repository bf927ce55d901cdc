import type { api, RouteInput, Task } from '@flotilla/shared';

import { recordAudits } from '../audit/record.ts';
import type { Database } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import { requireRoomForWork } from '../operations/disk.ts';
import { type Principal, principalLabel } from '../principal.ts';
import { type Binding, bindTask } from './bind.ts';
import { presentNew, writtenRows } from './queries.ts';
import { normalizeTags } from './queue-classes.ts';
import { indexNewTasks } from './search/index-task.ts';

type Body = RouteInput<typeof api.tasks.create>['body'];
export type Creation = { principal: Principal; body: Body };

/** Creates a task: in the backlog, in the inbox, or assigned when a name is given. */
export const createTask = async (
  deps: Deps,
  principal: Principal,
  { body }: RouteInput<typeof api.tasks.create>,
): Promise<Task> => {
  await requireRoomForWork(deps);
  if (!deps.db.joined) return deps.batches.creations(deps, { principal, body });
  const [task] = await createTasks(deps, [{ principal, body }]);
  if (task === undefined) throw new Error('a creation answered no task');
  return task;
};

type Bound = Creation & { required_tags: string[]; status: 'backlog' | 'inbox' | 'assigned'; binding: Binding };

/** Creates tasks for whoever asked at the same moment, in one transaction. */
export const createTasks = (deps: Deps, creations: Creation[]): Promise<Task[]> =>
  deps.db.transaction(async (db) => {
    const within = { ...deps, db };
    const bound = await bindAll(within, creations);
    const rows = await insertTasks(db, bound);
    const made = bound.map((creation, index) => {
      const row = rows[index];
      if (row === undefined) throw new Error('insert returned too few rows');
      const summary = { status: creation.status, assigned_to: creation.body.assigned_to ?? null };
      return { ...creation, id: row.id, deferred_until: row.deferred_until, summary };
    });
    announceNew(within, made);
    const [tasks] = await Promise.all([
      presentNew(within, rows),
      recordEvents(
        db,
        made.map(({ id, principal, binding, summary }) => ({
          type: 'task.created',
          entity_id: id,
          workspace_id: principal.workspace_id,
          version: 1,
          agent_id: binding.assigned_agent_id,
          summary,
        })),
      ),
      recordAudits(
        db,
        made.map(({ id, principal, summary }) => ({
          principal,
          audit: { action: 'task.create', entity: 'task', entity_id: id, details: summary },
        })),
      ),
      indexNewTasks(
        db,
        made.map(({ id, body, principal }) => ({ ...body, id, workspace_id: principal.workspace_id })),
      ),
    ]);
    return tasks;
  });

/** After commit: one hint per class, with as many tasks as may be claimed. */
const announceNew = (deps: Deps, made: (Bound & { deferred_until: string | null })[]): void => {
  const claimable = new Map<number, number>();
  for (const { status, deferred_until, binding } of made) {
    const { queue_class_id } = binding;
    if (status === 'backlog' || deferred_until !== null || queue_class_id === null) continue;
    claimable.set(queue_class_id, (claimable.get(queue_class_id) ?? 0) + 1);
  }
  deps.db.afterCommit(() => {
    deps.hub.raise('unsequenced');
    for (const [queue_class_id, count] of claimable) deps.hub.raise('work', queue_class_id, count);
  });
};

/** Names and classes are locked in one order, so that two batches do not wait for each other. */
const bindAll = async (deps: Deps, creations: Creation[]): Promise<Bound[]> => {
  const bound = new Map<Creation, Bound>();
  const keyOf = ({ principal, body }: Creation) =>
    JSON.stringify([principal.workspace_id, body.assigned_to, body.required_tags, body.executor]);
  for (const creation of creations.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))) {
    const { principal, body } = creation;
    const assigned_to = body.assigned_to ?? null;
    const required_tags = normalizeTags(body.required_tags ?? []);
    const target = {
      workspace_id: principal.workspace_id,
      assigned_to,
      required_tags,
      executor: body.executor ?? null,
    };
    const binding = await bindTask(deps, target);
    const status = body.status === 'backlog' ? 'backlog' : assigned_to === null ? 'inbox' : 'assigned';
    bound.set(creation, { ...creation, required_tags, status, binding });
  }
  return creations.map((creation) => bound.get(creation) as Bound); // each was bound above
};

/** In the order given: identities are assigned, and rows answered, as the ordered select delivers them. */
const insertTasks = ({ sql }: Database, bound: Bound[]) => {
  const rows = bound.map(({ principal, body, required_tags, status, binding }) => ({
    workspace_id: principal.workspace_id,
    title: body.title,
    description: body.description ?? '',
    status,
    priority: body.priority ?? 'medium',
    due_date: body.due_date ?? null,
    tags: body.tags ?? [],
    required_tags,
    assigned_to: body.assigned_to ?? null,
    ...binding,
    executor: body.executor ?? null,
    model: body.model ?? null,
    timeout_s: body.timeout_s ?? 3600,
    not_before: body.not_before ?? null,
    start_by: body.start_by ?? null,
    concurrency_key: body.concurrency_key ?? null,
    concurrency_limit: body.concurrency_limit ?? 1,
    on_host_loss: body.on_host_loss ?? 'requeue',
    review: body.review ?? 'auto',
    metadata: body.metadata ?? {},
    created_by: principalLabel(principal),
  }));
  return writtenRows(
    sql,
    sql`
    with at as materialized (select flotilla_now() as now)
    insert into tasks (workspace_id, title, description, status, priority, due_date, tags, required_tags, assigned_to, assigned_agent_id,
      queue_class_id, executor, model, timeout_s, start_by, concurrency_key, concurrency_limit, not_before, deferred_until, on_host_loss, review, metadata, created_by,
      created_at, updated_at)
    select workspace_id, title, description, status, priority, due_date, tags, required_tags, assigned_to, assigned_agent_id,
      queue_class_id, executor, model, timeout_s, start_by, concurrency_key, concurrency_limit, not_before, case when not_before > now then not_before end,
      on_host_loss, review, metadata, created_by, now, now
    from at, rows from (jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as (workspace_id bigint, title text, description text, status text,
      priority text, due_date timestamptz, tags text[], required_tags text[], assigned_to text, assigned_agent_id bigint, queue_class_id bigint,
      executor text, model text, timeout_s int, start_by timestamptz, concurrency_key text, concurrency_limit int, not_before timestamptz, on_host_loss text, review text, metadata jsonb, created_by text))
      with ordinality order by ordinality`,
  );
};
