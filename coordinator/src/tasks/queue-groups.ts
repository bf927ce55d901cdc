import type { Deps } from '../deps.ts';

/** Queued tasks that no claim could tell apart. */
export type QueueGroup = {
  assigned_to: string | null;
  assigned_agent_id: number | null;
  required_tags: string[];
  executor: string | null;
  deferred: boolean;
  count: number;
  first_id: number;
};

/** What is queued in a workspace, in groups. */
export const readQueue = (deps: Deps, workspace_id: number): Promise<QueueGroup[]> =>
  deps.db.sql<QueueGroup[]>`
    select assigned_to, assigned_agent_id, required_tags, executor, deferred_until is not null as deferred, count(*)::int as count,
      min(id) as first_id
    from tasks where workspace_id = ${workspace_id} and status in ('inbox', 'assigned') and deleted_at is null
    group by 1, 2, 3, 4, 5 order by first_id`;
