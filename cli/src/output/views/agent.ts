import type { Agent } from '@flotilla/shared';

import { showAge, showList, showWhen } from '../format.ts';
import type { View } from '../view.ts';

const orDash = (value: string | null): string => value ?? '-';

const showDrain = ({ drain, drained }: Agent, now: number): string => {
  if (drain === null) return '-';
  const state = drained ? 'drained' : 'draining';
  const deadline =
    drain.deadline === null ? '' : `, deadline ${showWhen(drain.deadline, now)} then ${drain.on_deadline}`;
  return `${state}${deadline}${drain.reason === null ? '' : `: ${drain.reason}`}`;
};

export const agentView: View<Agent> = {
  plural: 'agents',
  name: (agent) => agent.name,
  columns: [
    { head: 'ID', cell: (agent) => String(agent.id) },
    { head: 'NAME', cell: (agent) => agent.name },
    { head: 'STATUS', cell: (agent) => (agent.drained ? 'drained' : agent.status) },
    { head: 'SLOTS', cell: (agent) => `${agent.slots_used}/${agent.slots}` },
    { head: 'EXECUTORS', cell: (agent) => showList(agent.executors) },
    { head: 'TAGS', cell: (agent) => showList(agent.tags) },
    {
      head: 'SEEN',
      cell: (agent, now) => (agent.last_heartbeat_at === null ? 'never' : showWhen(agent.last_heartbeat_at, now)),
    },
    { head: 'VERSION', cell: (agent) => orDash(agent.version) },
    { head: 'ROLE', cell: (agent) => agent.role, wide: true },
    { head: 'KIND', cell: (agent) => agent.kind, wide: true },
    { head: 'HOST', cell: (agent) => orDash(agent.hostname), wide: true },
    { head: 'PLATFORM', cell: (agent) => orDash(agent.platform), wide: true },
    { head: 'DRAIN', cell: showDrain, wide: true },
    { head: 'AGE', cell: (agent, now) => showAge(agent.created_at, now), wide: true },
  ],
  details: [
    { head: 'STATE', cell: (agent) => agent.status_sentence },
    { head: 'ISOLATION', cell: (agent) => orDash(agent.isolation) },
    { head: 'SLOTS CEILING', cell: (agent) => String(agent.slots_ceiling) },
    { head: 'REPORTED TAGS', cell: (agent) => showList(agent.reported_tags) },
    { head: 'DISABLED', cell: (agent) => orDash(agent.disabled_at) },
    { head: 'CREATED', cell: (agent) => agent.created_at },
  ],
};
