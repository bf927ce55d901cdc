import { agentStatuses, taskStatuses } from '@flotilla/shared';

import { countAgents } from '../agents/counts.ts';
import { isSilent } from '../agents/silence.ts';
import { hasFreeSlot } from '../agents/slots.ts';
import type { Deps } from '../deps.ts';
import { countTasks } from '../tasks/counts.ts';

/** Fills the gauges that are counts in the database; once per scrape, over all workspaces. */
export const readGauges = async (deps: Deps): Promise<void> => {
  const { sql } = deps.db;
  const { metrics } = deps;
  const tasks = await countTasks(deps, sql`deleted_at is null`);
  for (const status of taskStatuses) metrics.tasks.set({ status }, tasks[status]);
  const agents = await countAgents(deps, sql`a.deleted_at is null`);
  for (const status of agentStatuses) metrics.agents.set({ status }, agents[status].agents);
  const [queue] = await sql<{ oldest_s: number; unsequenced: number }[]>`
    select coalesce(extract(epoch from flotilla_now() - min(created_at)), 0)::float8 as oldest_s,
      (select coalesce(sum(count), 0)::int from event_batches where last_seq is null) as unsequenced
    from tasks where status in ('inbox', 'assigned') and deferred_until is null and deleted_at is null`;
  metrics.oldest_ready.set(queue?.oldest_s ?? 0);
  metrics.unsequenced.set(queue?.unsequenced ?? 0);
  metrics.stalled.set((await isStalled(deps)) ? 1 : 0);
  metrics.parked_claims.set(deps.desk.parked());
};

/**
 * "Ready > 0, started = 0": something has been claimable for a minute by an agent that is online, eligible and free, and
 * nobody claimed anything in that minute. Either agents beat without claiming, or claiming is broken.
 */
const isStalled = async (deps: Deps): Promise<boolean> => {
  const { sql } = deps.db;
  const [row] = await sql<{ stalled: boolean }[]>`
    with minute as materialized (select flotilla_now() - interval '1 minute' as ago),
    waiting as materialized (
      select c.* from minute, queue_classes c where exists (
        select 1 from tasks t where t.queue_class_id = c.id and t.status in ('inbox', 'assigned') and t.deferred_until is null
          and t.deleted_at is null and t.updated_at < ago)),
    quiet as materialized (
      select workspace_id from minute, (select distinct workspace_id from waiting) w where not exists (
        select 1 from leases l join attempts t on t.id = l.attempt_id where l.workspace_id = w.workspace_id and t.claimed_at > ago))
    select exists (
      select 1 from quiet join waiting c using (workspace_id) join agents a using (workspace_id) join agent_beats b on b.agent_id = a.id
      where a.deleted_at is null and a.disabled_at is null and a.eligibility = 'eligible' and not a.workspace_paused and not ${isSilent(deps)}
        and (c.assigned_agent_id is null or c.assigned_agent_id = a.id)
        and c.required_tags <@ a.tags and (c.executor is null or a.executors = '{}' or c.executor = any(a.executors))
        and ${hasFreeSlot(sql)}
      ) as stalled`;
  return row?.stalled ?? false;
};
