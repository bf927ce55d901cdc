import { AppError } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { lockName } from '../tasks/bind.ts';

export type LockedAgent = {
  id: number;
  name: string;
  eligibility: string;
  eligibility_generation: number;
  row_version: number;
};

/** Locks the row that claims lock too: once this answers, no claim that did not see the change can commit. */
export const lockAgent = async (deps: Deps, principal: Principal, id: number): Promise<LockedAgent> => {
  const [agent] = await deps.db.sql<LockedAgent[]>`
    select id, name, eligibility, eligibility_generation, row_version from agents
    where id = ${id} and workspace_id = ${principal.workspace_id} and deleted_at is null for no key update`;
  if (agent === undefined) throw new AppError('not_found', { sentence: `There is no agent ${id}.` });
  return agent;
};

/**
 * The same for who renames or deletes it: the names first (its own and `next`, in one order for everybody), then the row.
 * Registering takes the name first, too; whoever took it after the row could wait for him while he waits for the row.
 */
export const lockNamedAgent = async (
  deps: Deps,
  principal: Principal,
  id: number,
  next?: string,
): Promise<LockedAgent> => {
  const { sql } = deps.db;
  const held = new Set<string>();
  for (;;) {
    const [seen] = await sql<{ name: string }[]>`
      select name from agents where id = ${id} and workspace_id = ${principal.workspace_id} and deleted_at is null`;
    // Nobody else can rename it while its name is held, so it is the one that was locked in the round before.
    if (seen === undefined || held.has(seen.name)) return lockAgent(deps, principal, id);
    const names = [seen.name, next].filter((name) => name !== undefined);
    for (const name of names.filter((candidate) => !held.has(candidate)).toSorted()) {
      await lockName(sql, principal.workspace_id, name, 'exclusive');
      held.add(name);
    }
  }
};

/** Records a change of what is desired of an agent, and ends its parked claim so that it beats now. */
export const announceStatus = async (
  deps: Deps,
  principal: Principal,
  agent: LockedAgent,
  summary: Record<string, unknown>,
): Promise<void> => {
  await recordEvents(deps.db, [
    {
      type: 'agent.status_changed',
      entity_id: agent.id,
      workspace_id: principal.workspace_id,
      version: agent.row_version + 1,
      agent_id: agent.id,
      summary: { name: agent.name, ...summary },
    },
  ]);
  deps.db.afterCommit(() => {
    deps.hub.raise('unsequenced');
    deps.hub.raise('interrupt', agent.id);
  });
};
