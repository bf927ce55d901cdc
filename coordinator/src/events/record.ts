import type { Permission } from '@flotilla/shared';

import type { Database } from '../db/database.ts';

export type NewEvent = {
  type: `${string}.${string}`;
  entity_id: number;
  workspace_id: number;
  version: number;
  /** The agent that sees it besides people. */
  agent_id?: number | null;
  permission?: Permission;
  /** No free text, no secrets: an event is seen by everyone who may read the workspace. */
  summary: Record<string, unknown>;
};

/**
 * Inserts events without position. Must come after the conditional update of the same transaction: the row lock then
 * orders the ids of one entity, and the sequencer keeps that order.
 */
export const recordEvents = async (db: Database, events: NewEvent[]): Promise<void> => {
  if (events.length === 0) return;
  await db.sql`
    insert into events (workspace_id, type, entity_id, version, agent_id, permission, summary, created_at)
    select *, (select flotilla_now()) from unnest(
      ${events.map((e) => e.workspace_id)}::bigint[], ${events.map((e) => e.type)}::text[], ${events.map((e) => e.entity_id)}::bigint[],
      ${events.map((e) => e.version)}::int[], ${events.map((e) => e.agent_id ?? null)}::bigint[],
      ${events.map((e) => e.permission ?? 'events:read')}::text[], ${events.map((e) => JSON.stringify(e.summary))}::text[]::jsonb[])`;
};
