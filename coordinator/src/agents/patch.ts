import { type Agent, type api, AppError, type RouteInput } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { bindWaitingTasks } from '../tasks/bind.ts';
import { announceStatus, lockAgent, lockNamedAgent } from './lock-agent.ts';
import { getAgent } from './queries.ts';

/** Changes what an admin decides about an agent: name, tags, role, ceiling, metadata, disabled. */
export const patchAgent = (
  deps: Deps,
  principal: Principal,
  input: RouteInput<typeof api.agents.patch> & { if_match?: number },
): Promise<Agent> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    const { name, tags, role, slots_ceiling, metadata, disabled } = input.body;
    const { id } = input.params;
    const agent = await (name === undefined
      ? lockAgent(inner, principal, id)
      : lockNamedAgent(inner, principal, id, name));
    if (input.if_match !== undefined && input.if_match !== agent.row_version) {
      throw new AppError('version_mismatch', {
        details: { current: await getAgent(inner, principal, agent.id) },
        hint: 'read it again and repeat the change',
      });
    }
    if (name !== undefined && name !== agent.name) {
      const [taken] =
        await db.sql`select 1 from agents where workspace_id = ${principal.workspace_id} and name = ${name} and deleted_at is null`;
      if (taken !== undefined)
        throw new AppError('name_taken', { sentence: `name: ${name} is already registered in this workspace` });
    }
    await db.sql`
      update agents set name = coalesce(${name ?? null}, name), tags = coalesce(${tags ?? null}::text[], tags), role = coalesce(${role ?? null}, role),
        slots_ceiling = coalesce(${slots_ceiling ?? null}, slots_ceiling),
        metadata = coalesce(${metadata === undefined ? null : JSON.stringify(metadata)}::text::jsonb, metadata),
        disabled_at = case when ${disabled ?? null}::bool is null then disabled_at when ${disabled ?? false} then coalesce(disabled_at, flotilla_now()) end,
        updated_at = flotilla_now(), row_version = row_version + 1
      where id = ${agent.id}`;
    if (name !== undefined && name !== agent.name) {
      // Its tasks keep it: an edit binds them anew by the name they hold.
      await db.sql`update tasks set assigned_to = ${name} where assigned_agent_id = ${agent.id}`;
      await bindWaitingTasks(inner, { workspace_id: principal.workspace_id, name });
    }
    await announceStatus(inner, principal, agent, { fields: Object.keys(input.body) });
    await recordAudit(db, principal, {
      action: 'agent.update',
      entity: 'agent',
      entity_id: agent.id,
      details: { fields: Object.keys(input.body), disabled },
    });
    return getAgent(inner, principal, agent.id);
  });
