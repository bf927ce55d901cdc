import type { api } from '@flotilla/shared';

import type { Handlers } from '../http/context.ts';
import { createApiToken, listApiTokens, revokeApiToken } from '../tokens/api-tokens.ts';
import { createJoinToken, listJoinTokens, revokeJoinToken } from '../tokens/join-tokens.ts';

export const joinTokenHandlers: Handlers<typeof api.join_tokens> = {
  create: ({ deps, principal, input }) => createJoinToken(deps, principal, input),
  list: ({ deps, principal, input }) => listJoinTokens(deps, principal, input),
  revoke: ({ deps, principal, input }) => revokeJoinToken(deps, principal, input),
};

export const apiTokenHandlers: Handlers<typeof api.api_tokens> = {
  create: ({ deps, principal, input }) => createApiToken(deps, principal, input),
  list: ({ deps, principal, input }) => listApiTokens(deps, principal, input),
  revoke: ({ deps, principal, input }) => revokeApiToken(deps, principal, input),
};
