import type { Sql } from '../db/client.ts';

/** Slots = what the host reports, capped by the ceiling; a host that reports none gets its join token's number, else 1. */
export const effectiveSlots = (agent: {
  slots_reported: number | null;
  slots_default: number;
  slots_ceiling: number;
}): number => Math.min(agent.slots_reported ?? agent.slots_default, agent.slots_ceiling);

/** The same in SQL, of `agents` as a. */
export const slotsOf = (sql: Sql) => sql`least(coalesce(a.slots_reported, a.slots_default), a.slots_ceiling)`;

/** Whether one of them is free. In SQL, of `agents` as a. */
export const hasFreeSlot = (sql: Sql) => sql`(select count(*) from leases where agent_id = a.id) < ${slotsOf(sql)}`;
