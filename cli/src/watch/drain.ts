import type { Agent } from '@flotilla/shared';

import { CliError } from '../exit.ts';
import { showWhen } from '../output/format.ts';
import { isNotFound, type Session } from '../session.ts';
import { watchUntil } from './until.ts';

const progressLine = (agent: Agent, now: number): string => {
  const left = agent.slots_used === 1 ? '1 running task' : `${agent.slots_used} running tasks`;
  const deadline = agent.drain?.deadline;
  const until =
    deadline === null || deadline === undefined ? '' : `, ${agent.drain?.on_deadline} ${showWhen(deadline, now)}`;
  return `${agent.name}: ${left} left${until}${agent.status === 'offline' ? ' (offline)' : ''}`;
};

/** Watches until nothing runs on the agent. Somebody resuming it meanwhile is not a success. */
export const watchDrain = async (session: Session, agent: Agent, timeout_s: number | null): Promise<Agent> => {
  let last = '';
  const resumed = (now: Agent) => now.drain === null && now.eligibility === 'eligible';
  try {
    const ended = await watchUntil(session, {
      what: `${agent.name} to drain`,
      read: () => session.client.agents.get({ params: { id: agent.id } }),
      done: (now) => now.drained || resumed(now),
      show: (now) => {
        // The remaining time changes with every look; only what else changes is worth a line.
        const facts = `${now.slots_used} ${now.status} ${now.drain?.generation}`;
        if (facts !== last && !now.drained && !resumed(now)) session.say(progressLine(now, session.cli.now()));
        last = facts;
      },
      timeout_s,
      again: `Look again: flotilla agents get ${agent.name} · take it back: flotilla agents resume ${agent.name}`,
    });
    if (ended.drained) return ended;
    throw new CliError('ended_badly', `${agent.name} was resumed before it was drained.`, { code: 'resumed' });
  } catch (error) {
    if (isNotFound(error))
      throw new CliError('ended_badly', `${agent.name} was deleted while it drained.`, { code: 'agent_gone' });
    throw error;
  }
};
