import type { api, RouteInput, Task } from '@flotilla/shared';

import { inTime } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import { requireRoomForWork } from '../operations/disk.ts';
import type { Principal } from '../principal.ts';
import { type Binding, bindTask } from './bind.ts';
import { columnsOf, insertTasks, newTask, type NewTask } from './insert.ts';
import { normalizeTags } from './queue-classes.ts';
import { explainWaiting } from './waiting-for.ts';

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

/** A creation whose demands are known to the database. */
export type Bound = Creation & { required_tags: string[]; status: 'backlog' | 'inbox' | 'assigned'; binding: Binding };

/** Creates tasks for whoever asked at the same moment, in one transaction: one statement, if nothing must be looked up. */
export const createTasks = (deps: Deps, creations: Creation[]): Promise<Task[]> => {
  const known = bindKnown(deps, creations);
  if (known !== null) return writeNew(deps, known);
  return deps.db.transaction(async (db) => {
    const within = { ...deps, db };
    return writeNew(within, await bindAll(within, creations));
  });
};

const writeNew = async (deps: Deps, bound: Bound[]): Promise<Task[]> => {
  const columns = bound.map(columnsOf);
  const made = await inTime(insertTasks(deps.db.sql, columns));
  const tasks = columns.map((column, index) => {
    const row = made[index];
    if (row === undefined) throw new Error('insert returned too few rows');
    return newTask(column, row);
  });
  announceNew(deps, columns, tasks);
  return explainNew(deps, columns, tasks);
};

type Unexplained = Omit<Task, 'waiting_for'>;

/** What one creation saw of the agents serves those of the next second: a fleet has thousands, and a hand-over takes 3 ms. */
const BURST_MS = 1_000;

const explainNew = async (deps: Deps, columns: NewTask[], tasks: Unexplained[]): Promise<Task[]> => {
  const facts = tasks.map((task, index) => ({
    id: task.id,
    workspace_id: columns[index]?.workspace_id ?? 0,
    status: task.status,
    assigned_to: task.assigned_to,
    assigned_agent_id: task.assigned_agent_id,
    required_tags: task.required_tags,
    executor: task.executor,
    not_before: task.not_before,
    deferred_until: task.deferred_until,
    concurrency_key: task.concurrency_key,
    concurrency_limit: task.concurrency_limit,
    key_blocked: false,
    asked_comment_id: null,
    question: null,
  }));
  const waiting = await explainWaiting(deps, facts, BURST_MS);
  // In place: see newTask.
  return tasks.map((task) => Object.assign(task, { waiting_for: waiting.get(task.id) ?? null }));
};

/** After commit: one hint per class, with as many tasks as may be claimed. */
const announceNew = ({ db, hub }: Deps, columns: NewTask[], tasks: Unexplained[]): void => {
  const claimable = new Map<number, number>();
  for (const [index, { status, deferred_until }] of tasks.entries()) {
    const queue_class_id = columns[index]?.queue_class_id ?? null;
    if (status === 'backlog' || deferred_until !== null || queue_class_id === null) continue;
    claimable.set(queue_class_id, (claimable.get(queue_class_id) ?? 0) + 1);
  }
  db.afterCommit(() => {
    for (const [queue_class_id, count] of claimable) hub.raise('work', queue_class_id, count);
    hub.raise('unsequenced');
  });
};

const demandOf = ({ principal, body }: Creation) => ({
  workspace_id: principal.workspace_id,
  assigned_to: body.assigned_to ?? null,
  required_tags: normalizeTags(body.required_tags ?? []),
  executor: body.executor ?? null,
});

const boundTo = (creation: Creation, binding: Binding): Bound => {
  const { assigned_to, required_tags } = demandOf(creation);
  const queued = assigned_to === null ? ('inbox' as const) : ('assigned' as const);
  return { ...creation, required_tags, status: creation.body.status === 'backlog' ? 'backlog' : queued, binding };
};

/** What is for anybody, and demands what was demanded before, needs no look at the database; null if one does. */
const bindKnown = ({ classes }: Deps, creations: Creation[]): Bound[] | null => {
  const bound: Bound[] = [];
  for (const creation of creations) {
    const { assigned_to, ...demand } = demandOf(creation);
    const queue_class_id =
      assigned_to === null ? classes.find({ ...demand, kind: 'task', assigned_agent_id: null }) : null;
    if (queue_class_id === null) return null;
    bound.push(boundTo(creation, { assigned_agent_id: null, queue_class_id }));
  }
  return bound;
};

/** Names and classes are locked in one order, so that two batches do not wait for each other. */
const bindAll = async (deps: Deps, creations: Creation[]): Promise<Bound[]> => {
  const bound = new Map<Creation, Bound>();
  const keyOf = (creation: Creation) => JSON.stringify(demandOf(creation));
  for (const creation of creations.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)))
    bound.set(creation, boundTo(creation, await bindTask(deps, demandOf(creation))));
  return creations.map((creation) => bound.get(creation) as Bound); // each was bound above
};
