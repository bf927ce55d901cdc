import type { Sql } from '../../src/db/client.ts';

/** The promises I0–I2 as SQL: each must find no row, after any history. Answers what is broken, in words. */
export const findViolations = async (sql: Sql): Promise<string[]> => {
  const found = await sql<{ broken: string }[]>`
    select 'I0 task ' || task_id || ' has ' || count(*) || ' live attempts' as broken
    from attempts where ended_at is null group by task_id having count(*) > 1
    union all
    select 'I0 live attempt ' || a.id || ' has no lease of its epoch' from attempts a
    where a.ended_at is null and not exists (select 1 from leases l where l.attempt_id = a.id and l.epoch = a.epoch and l.agent_id = a.agent_id)
    union all
    select 'I0 live attempt ' || a.id || ' is not what its task says (' || t.status || ')' from attempts a join tasks t on t.id = a.task_id
    where a.ended_at is null and (t.status <> 'in_progress' or t.epoch <> a.epoch or t.claimed_by_agent_id <> a.agent_id)
    union all
    select 'I0 attempt ' || id || ' is ' || state || ' with ended_at ' || coalesce(ended_at::text, 'null') from attempts
    where (state in ('claimed', 'running')) <> (ended_at is null)
    union all
    select 'I0 task ' || t.id || ' is in progress by nobody' from tasks t
    where t.status = 'in_progress' and not exists (select 1 from attempts a where a.task_id = t.id and a.ended_at is null)
    union all
    select 'I0 attempts of task ' || task_id || ' are not in the order of their epochs' from (
      select task_id, number, epoch, lag(epoch) over (partition by task_id order by number) as before from attempts) o
    where before is not null and before >= epoch
    union all
    select 'I1 task ' || id || ' ended (' || status || ') without completed_at' from tasks
    where status in ('done', 'failed', 'cancelled') and completed_at is null
    union all
    select 'I1 task ' || id || ' is ' || status || ' with completed_at' from tasks
    where status not in ('done', 'failed', 'cancelled') and completed_at is not null
    union all
    select 'I1 task ' || id || ' counts beyond its limits' from tasks
    where dispatch_attempts > 5 or stale_requeues > 5 or (status in ('inbox', 'assigned') and (dispatch_attempts >= 5 or stale_requeues >= 5 or attempts >= 25))
    union all
    select 'I1 task ' || id || ' (' || status || ') waits for an answer, deferred until ' || coalesce(deferred_until::text, 'null') from tasks
    where (asked_comment_id is not null) <> coalesce(deferred_until = 'infinity', false)
      or (asked_comment_id is not null and status not in ('backlog', 'inbox', 'assigned'))
    union all
    select 'I2 lease of task ' || l.task_id || ' outlived its owner' from leases l
    left join attempts a on a.id = l.attempt_id left join tasks t on t.id = l.task_id left join agents g on g.id = l.agent_id
    where a.id is null or a.ended_at is not null or t.status <> 'in_progress' or t.deleted_at is not null or g.deleted_at is not null
    union all
    select 'I2 queued task ' || t.id || ' is bound to a deleted agent' from tasks t join agents g on g.id = t.assigned_agent_id
    where t.status in ('backlog', 'inbox', 'assigned') and t.deleted_at is null and g.deleted_at is not null
    union all
    select 'I2 queued task ' || t.id || ' waits for ' || t.assigned_to || ', who is here' from tasks t
      join agents g on g.workspace_id = t.workspace_id and g.name = t.assigned_to and g.deleted_at is null
    where t.status in ('backlog', 'inbox', 'assigned') and t.deleted_at is null and t.assigned_agent_id is null`;
  return found.map(({ broken }) => broken);
};
