import {
  AppError,
  type api,
  type PatchTask,
  type RouteInput,
  type Task,
  taskLimits,
  type TaskStatus,
  type TaskVerb,
} from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Sql } from '../db/client.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import { type Principal, requirePermission } from '../principal.ts';
import { announce } from './announce.ts';
import { bindTask } from './bind.ts';
import { cancelTask } from './cancel.ts';
import type { TaskRow } from './lifecycle.ts';
import { lockTask, requireEdge } from './lock-task.ts';
import { getTask } from './queries.ts';
import { normalizeTags } from './queue-classes.ts';
import { recordReview } from './reviews/record.ts';
import { indexTask } from './search/index-task.ts';

type Input = RouteInput<typeof api.tasks.patch> & { if_match?: number };

/** What a person may still say about a task while it runs; the attempt keeps the prompt it was given. */
const editableWhileRunning = new Set(['title', 'description', 'priority', 'due_date', 'tags', 'metadata', 'status']);

/**
 * Changes fields, and takes the edge that a given `status` names. With `if_match` another version is 412 with the
 * current row, and nothing is changed. `feedback` goes with the two edges out of review.
 */
export const patchTask = (
  deps: Deps,
  principal: Principal,
  input: Input,
  feedback: string | null = null,
): Promise<Task> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    const task = await lockTask(db, principal, input.params.id);
    if (input.if_match !== undefined && input.if_match !== task.version) {
      throw new AppError('version_mismatch', {
        details: { current: await getTask(inner, principal, task.id) },
        hint: 'read it again and repeat the change',
      });
    }
    const { status: wanted, ...fields } = input.body;
    if (wanted === 'cancelled' && task.status !== 'cancelled')
      await cancelTask(inner, principal, { params: input.params, body: {} });
    const locked = wanted === 'cancelled' ? await lockTask(db, principal, task.id) : task;
    const verb = edgeFor(locked, wanted, fields);
    if (verb === null && Object.keys(fields).length === 0) return getTask(inner, principal, task.id);
    if (verb !== null) requireEdge(locked, verb);
    const judged = verb === 'approve' || verb === 'reject';
    if (judged) {
      requirePermission(principal, 'tasks:review');
      const verdict = verb === 'approve' ? 'approved' : 'rejected';
      await recordReview(db, principal, { task_id: task.id, verdict, feedback });
    }
    const written = await writeTask(inner, principal, locked, fields, verb, feedback);
    await recordAudit(db, principal, {
      action: judged ? `task.${verb}` : 'task.update',
      entity: 'task',
      entity_id: task.id,
      details: {
        fields: Object.keys(input.body),
        was: locked.status,
        ...written,
        ...(judged ? { owner_decided: true } : {}),
      },
    });
    return getTask(inner, principal, task.id);
  });

/** Which edge of the machine a patch means; null: fields only. */
const edgeFor = (task: TaskRow, wanted: PatchTask['status'], fields: Omit<PatchTask, 'status'>): TaskVerb | null => {
  if (task.status === 'in_progress') {
    const fixed = Object.keys(fields).filter((field) => !editableWhileRunning.has(field));
    if (fixed.length > 0)
      throw new AppError('task_running', {
        sentence: `${fixed.join(', ')}: fixed while the task runs.`,
        hint: 'cancel it, or wait until the attempt ends',
      });
  }
  if (wanted === undefined || wanted === task.status) return assignmentVerb(fields);
  if (wanted === 'cancelled') return null;
  if (wanted === 'backlog') return 'park';
  if (wanted === 'done') return 'approve';
  if (task.status === 'review') return 'reject';
  if (task.status === 'backlog') return 'unpark';
  return wanted === 'assigned' ? 'assign' : 'unassign';
};

const assignmentVerb = (fields: Omit<PatchTask, 'status'>): TaskVerb | null => {
  if (fields.assigned_to === undefined) return null;
  return fields.assigned_to === null ? 'unassign' : 'assign';
};

const writeTask = async (
  deps: Deps,
  principal: Principal,
  task: TaskRow,
  fields: Omit<PatchTask, 'status'>,
  verb: TaskVerb | null,
  feedback: string | null,
): Promise<{ status: TaskStatus; assigned_to?: string | null }> => {
  const { sql } = deps.db;
  const [current] = await sql<
    { title: string; required_tags: string[]; executor: string | null; not_before: string | null; rejections: number }[]
  >`
    select title, required_tags, executor, not_before, rejections from tasks where id = ${task.id}`;
  if (current === undefined) throw new Error('locked row vanished');
  const unassigned = verb === 'unassign' || fields.assigned_to === null;
  const assigned_to = unassigned ? null : (fields.assigned_to ?? task.assigned_to);
  if (verb === 'assign' && assigned_to === null)
    throw new AppError('invalid_input', { sentence: 'assigned_to: name the agent that gets the task' });
  const required_tags = normalizeTags(fields.required_tags ?? current.required_tags);
  const executor = fields.executor === undefined ? current.executor : fields.executor;
  const binding = await bindTask(deps, {
    workspace_id: principal.workspace_id,
    assigned_to,
    required_tags,
    executor,
  });
  const rejections = current.rejections + (verb === 'reject' ? 1 : 0);
  const given_up = verb === 'reject' && rejections >= taskLimits.rejections;
  const status = given_up ? 'failed' : nextStatus(task, verb, assigned_to);
  const not_before = fields.not_before === undefined ? current.not_before : fields.not_before;
  const rekeyed = fields.concurrency_key !== undefined || fields.concurrency_limit !== undefined;
  const [row] = await sql<{ version: number; due: boolean }[]>`
    update tasks set ${sql(editedColumns(sql, fields, current.title))}, status = ${status}, assigned_to = ${assigned_to},
      assigned_agent_id = ${binding.assigned_agent_id}, queue_class_id = ${binding.queue_class_id}, required_tags = ${required_tags}::text[],
      executor = ${executor}, not_before = ${not_before},
      deferred_until = case when asked_comment_id is not null then deferred_until when ${fields.not_before === undefined} then case when ${rekeyed} and key_blocked then null else deferred_until end when ${not_before}::timestamptz > flotilla_now() then ${not_before}::timestamptz end,
      key_blocked = key_blocked and ${fields.not_before === undefined && !rekeyed},
      completed_at = case when ${status} in ('done', 'failed', 'cancelled') then coalesce(completed_at, flotilla_now()) end,
      cancel_requested_at = case when ${verb !== 'reject'} then cancel_requested_at end, rejections = ${rejections},
      feedback = case when ${verb === 'reject'} then ${feedback} when ${verb !== 'approve'} then feedback end, version = version + 1, updated_at = flotilla_now()
    where id = ${task.id} returning version, deferred_until is null as due`;
  if (fields.title !== undefined || fields.description !== undefined || feedback !== null)
    await indexTask(deps.db, task.id);
  await recordEvents(deps.db, [
    {
      type:
        verb === 'approve'
          ? 'task.completed'
          : given_up
            ? 'task.failed'
            : verb === 'reject'
              ? 'task.rejected'
              : 'task.updated',
      entity_id: task.id,
      workspace_id: principal.workspace_id,
      version: row?.version ?? task.version,
      agent_id: binding.assigned_agent_id,
      summary: { status, fields: Object.keys(fields) },
    },
  ]);
  const claimable = (status === 'inbox' || status === 'assigned') && row?.due === true;
  announce(deps, claimable ? binding : null);
  return { status, ...(assigned_to === task.assigned_to ? {} : { assigned_to }) };
};

const nextStatus = (task: TaskRow, verb: TaskVerb | null, assigned_to: string | null): TaskStatus => {
  const queued: TaskStatus = assigned_to === null ? 'inbox' : 'assigned';
  if (verb === 'park') return 'backlog';
  if (verb === 'approve') return 'done';
  if (verb === 'unpark' || verb === 'reject') return queued;
  // Naming another agent for a parked task leaves it parked.
  if (verb === 'assign' || verb === 'unassign') return task.status === 'backlog' ? 'backlog' : queued;
  return task.status === 'inbox' || task.status === 'assigned' ? queued : task.status;
};

/** Plain columns of a patch. The title is always among them: an update needs at least one. */
const editedColumns = (sql: Sql, fields: Omit<PatchTask, 'status'>, title: string) => {
  const { description, priority, due_date, tags, model, timeout_s, on_host_loss, review, metadata } = fields;
  const { start_by, concurrency_key, concurrency_limit } = fields;
  const keyed = { start_by, concurrency_key, concurrency_limit };
  const plain = { description, priority, due_date, tags, model, timeout_s, on_host_loss, review, ...keyed };
  const given = Object.entries(plain).filter(
    (entry): entry is [string, string | number | string[] | null] => entry[1] !== undefined,
  );
  const json = metadata === undefined ? {} : { metadata: sql.json(metadata) };
  return { title: fields.title ?? title, ...Object.fromEntries(given), ...json };
};
