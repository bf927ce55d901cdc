/** What an agent's row and beats say; the label is derived from it, never stored (protocol.md §3). */
export type AgentFacts = {
  disabled: boolean;
  /** Not heard of for longer than the time after which an agent is lost, or never. */
  silent: boolean;
  eligibility: 'eligible' | 'ineligible';
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
export const agentStatus = ({ disabled, silent, eligibility }: AgentFacts): AgentStatus => {
  if (disabled) return 'disabled';
  if (silent) return 'offline';
  return eligibility === 'ineligible' ? 'draining' : 'online';
};
