import type { ApiToken, JoinToken } from '@flotilla/shared';

import { showAge, showList, showWhen } from '../format.ts';
import type { View } from '../view.ts';

const stateOf = (revoked_at: string | null, expires_at: string | null, now: number): string => {
  if (revoked_at !== null) return 'revoked';
  return expires_at !== null && Date.parse(expires_at) <= now ? 'expired' : 'valid';
};

export const apiTokenView: View<ApiToken> = {
  plural: 'API tokens',
  name: (token) => String(token.id),
  columns: [
    { head: 'ID', cell: (token) => String(token.id) },
    { head: 'NAME', cell: (token) => token.name },
    { head: 'ROLE', cell: (token) => token.role },
    { head: 'STATE', cell: (token, now) => stateOf(token.revoked_at, token.expires_at, now) },
    { head: 'EXPIRES', cell: (token, now) => (token.expires_at === null ? 'never' : showWhen(token.expires_at, now)) },
    { head: 'USED', cell: (token, now) => (token.last_used_at === null ? 'never' : showWhen(token.last_used_at, now)) },
    { head: 'BY', cell: (token) => token.created_by, wide: true },
    { head: 'AGE', cell: (token, now) => showAge(token.created_at, now), wide: true },
  ],
};

export const joinTokenView: View<JoinToken> = {
  plural: 'join tokens',
  name: (token) => String(token.id),
  columns: [
    { head: 'ID', cell: (token) => String(token.id) },
    {
      head: 'STATE',
      cell: (token, now) => (token.used_at === null ? stateOf(token.revoked_at, token.expires_at, now) : 'used'),
    },
    { head: 'EXPIRES', cell: (token, now) => showWhen(token.expires_at, now) },
    { head: 'ROLE', cell: (token) => token.role },
    { head: 'SLOTS', cell: (token) => String(token.slots) },
    { head: 'TAGS', cell: (token) => showList(token.tags) },
    { head: 'NAMES', cell: (token) => token.name_pattern ?? '*' },
    {
      head: 'USED BY',
      cell: (token) => (token.used_by_agent_id === null ? '-' : `agent ${token.used_by_agent_id}`),
      wide: true,
    },
    { head: 'BY', cell: (token) => token.created_by, wide: true },
    { head: 'AGE', cell: (token, now) => showAge(token.created_at, now), wide: true },
  ],
};
