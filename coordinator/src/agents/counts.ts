import { type AgentFacts, type AgentStatus, agentStatus, agentStatuses } from '@flotilla/shared';
import type { Fragment } from 'postgres';

import type { Deps } from '../deps.ts';
import { isSilent } from './silence.ts';
import { slotsOf } from './slots.ts';

type Counts = Record<AgentStatus, { agents: number; slots: number }>;

/** Agents by status and their slots, counted in Postgres however many there are; `which` is a condition on `agents` as a. */
export const countAgents = async (deps: Deps, which: Fragment): Promise<Counts> => {
  const { sql } = deps.db;
  const rows = await sql<(AgentFacts & { agents: number; slots: number })[]>`
    select a.disabled_at is not null as disabled, ${isSilent(deps)} as silent, a.eligibility,
      count(*)::int as agents, sum(${slotsOf(sql)})::int as slots
    from agents a left join agent_beats b on b.agent_id = a.id where ${which} group by 1, 2, 3`;
  // The cast: Object.fromEntries forgets that it got every status.
  const counts = Object.fromEntries(agentStatuses.map((status) => [status, { agents: 0, slots: 0 }])) as Counts;
  for (const { agents, slots, ...facts } of rows) {
    const count = counts[agentStatus(facts)];
    count.agents += agents;
    count.slots += slots;
  }
  return counts;
};
