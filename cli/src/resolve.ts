import type { Agent } from '@flotilla/shared';

import { CliError, usageError } from './exit.ts';
import { paginate } from './paginate.ts';
import type { Session } from './session.ts';

/** `12`, `TASK-12` and `task-12` are the same task. */
export const taskId = (ref: string): number => {
  const digits = /^(?:task-)?([1-9]\d{0,15})$/i.exec(ref)?.[1];
  if (digits === undefined)
    throw usageError(`"${ref}" is not a task.`, 'Name a task like 12 or TASK-12; `flotilla tasks list` shows them.');
  return Number(digits);
};

export const rowId = (ref: string, kind: string): number => {
  if (!/^[1-9]\d{0,15}$/.test(ref)) throw usageError(`"${ref}" is not the id of a ${kind}.`, 'Ids are numbers.');
  return Number(ref);
};

const byName = async (session: Session, ref: string): Promise<Agent> => {
  const { rows } = await paginate(
    async (page) => {
      const answer = await session.client.agents.list({ query: page });
      return { rows: answer.agents, next_cursor: answer.next_cursor };
    },
    { all: true },
  );
  const exact = rows.find(({ name }) => name === ref);
  if (exact !== undefined) return exact;
  const matches = rows.filter(({ name }) => name.startsWith(ref));
  const [only] = matches;
  if (only !== undefined && matches.length === 1) return only;
  if (only === undefined) {
    throw new CliError('failed', `There is no agent "${ref}".`, {
      code: 'not_found',
      hint: '`flotilla agents list` shows them.',
    });
  }
  const names = matches.slice(0, 8).map(({ name }) => name);
  const more = matches.length > names.length ? ` and ${matches.length - names.length} more` : '';
  throw usageError(
    `"${ref}" fits ${matches.length} agents: ${names.join(', ')}${more}.`,
    'Give more of the name, or the id.',
  );
};

/** Digits are always an id, also when some agent's name is digits: deleting must not depend on what else exists. */
export const findAgent = async (session: Session, ref: string): Promise<Agent> => {
  if (/^\d+$/.test(ref)) return session.client.agents.get({ params: { id: rowId(ref, 'agent') } });
  return byName(session, ref);
};

/** The name of an agent to filter or assign by: given as an id, it is looked up. */
export const agentName = async (session: Session, ref: string): Promise<string> =>
  /^\d+$/.test(ref) ? (await findAgent(session, ref)).name : ref;
