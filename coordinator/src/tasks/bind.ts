import type { Deps } from '../deps.ts';
import type { Sql } from '../db/client.ts';

/** 'name' as a number: the first half of the advisory lock's key. */
const NAME_LOCK = 0x6e616d65;

type Target = { workspace_id: number; assigned_to: string | null; required_tags: string[]; executor: string | null };
export type Binding = { assigned_agent_id: number | null; queue_class_id: number | null };

/**
 * What a task's demands mean today, within the caller's transaction: the agent behind the name, and the queue class. An unknown name binds nothing (the
 * task waits for `unknown_agent`) until an agent of that name registers.
 */
export const bindTask = async (deps: Deps, target: Target): Promise<Binding> => {
  const { sql } = deps.db;
  let assigned_agent_id: number | null = null;
  if (target.assigned_to !== null) {
    await lockName(sql, target.workspace_id, target.assigned_to, 'shared');
    const [agent] = await sql<{ id: number }[]>`
      select id from agents where workspace_id = ${target.workspace_id} and name = ${target.assigned_to} and deleted_at is null for key share`;
    if (agent === undefined) return { assigned_agent_id: null, queue_class_id: null };
    assigned_agent_id = agent.id;
  }
  const { workspace_id, required_tags, executor } = target;
  const queue_class_id = await deps.classes.intern(deps.db, {
    workspace_id,
    kind: 'task',
    assigned_agent_id,
    required_tags,
    executor,
  });
  return { assigned_agent_id, queue_class_id };
};

/**
 * Binding by name takes this lock shared, whoever registers, renames or deletes that name takes it exclusively: of two at
 * the same moment the later one sees what the earlier one did. Its own statement, so that the next one reads afterwards.
 */
export const lockName = async (
  sql: Sql,
  workspace_id: number,
  name: string,
  mode: 'shared' | 'exclusive',
): Promise<void> => {
  const key = `${workspace_id}/${name}`;
  if (mode === 'shared') await sql`select pg_advisory_xact_lock_shared(${NAME_LOCK}, hashtext(${key}))`;
  else await sql`select pg_advisory_xact_lock(${NAME_LOCK}, hashtext(${key}))`;
};

/** Binds what was waiting for an agent's name; in the transaction that registers or renames it, and holds the name. */
export const bindWaitingTasks = async (deps: Deps, agent: { workspace_id: number; name: string }): Promise<void> => {
  const waiting = await deps.db.sql<{ id: number; required_tags: string[]; executor: string | null }[]>`
    select id, required_tags, executor from tasks
    where workspace_id = ${agent.workspace_id} and assigned_to = ${agent.name} and assigned_agent_id is null and deleted_at is null for no key update`;
  for (const task of waiting) {
    const binding = await bindTask(deps, {
      ...task,
      workspace_id: agent.workspace_id,
      assigned_to: agent.name,
    });
    await deps.db.sql`
      update tasks set assigned_agent_id = ${binding.assigned_agent_id}, queue_class_id = ${binding.queue_class_id}, updated_at = flotilla_now(),
        version = version + 1
      where id = ${task.id}`;
    deps.db.afterCommit(() => {
      if (binding.queue_class_id !== null) deps.hub.raise('work', binding.queue_class_id, 1);
    });
  }
};
