import type { Permission } from '@flotilla/shared';

import type { Database } from '../db/database.ts';

/** An event as its batch holds it; `permission` only where it is not `events:read`. */
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
 * Inserts events without position, as one row. Must come after the conditional update of the same transaction: the row
 * lock then orders the ids of one entity, and the sequencer keeps that order.
 */
export const recordEvents = async (db: Database, events: NewEvent[]): Promise<void> => {
  if (events.length === 0) return;
  await db.sql`
    insert into event_batches (count, events, created_at) values (${events.length}, ${JSON.stringify(events)}::text::json, flotilla_now())`;
};
