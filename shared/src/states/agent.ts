/** What an agent's row and beats say; the label is derived from it, never stored (protocol.md §3). */
export type AgentFacts = {
  disabled_at: string | null;
  eligibility: 'eligible' | 'ineligible';
  /** Milliseconds since the last beat by the database's clock; null when it never beat. */
  silent_ms: number | null;
};

export const agentStatuses = ['online', 'draining', 'offline', 'disabled'] as const;
export type AgentStatus = (typeof agentStatuses)[number];

export const agentStatusSentences: Record<AgentStatus, string> = {
  online: 'Beats and takes work.',
  draining: 'Takes no new work; running tasks finish or are handed back.',
  offline: 'Has not been heard of for a while; leases, not this label, decide what happens to its work.',
  disabled: 'Switched off by an admin; its token gets no work.',
};

/** Status is derived in this order: disabled, offline (lost), draining, online. */
export const agentStatus = (facts: AgentFacts, lost_ms: number): AgentStatus => {
  if (facts.disabled_at !== null) return 'disabled';
  if (facts.silent_ms === null || facts.silent_ms > lost_ms) return 'offline';
  return facts.eligibility === 'ineligible' ? 'draining' : 'online';
};
