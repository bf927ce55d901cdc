/** Slots = what the host reports, capped by the ceiling; a host that reports none gets its join token's number, else 1. */
export const effectiveSlots = (agent: {
  slots_reported: number | null;
  slots_default: number;
  slots_ceiling: number;
}): number => Math.min(agent.slots_reported ?? agent.slots_default, agent.slots_ceiling);
