import { AppError, type Permission, type Role, roleGrants } from '@flotilla/shared';

/** Who acts: an API token, an agent, or one attempt of a task. Every query is bound to its workspace. */
export type Principal = {
  kind: 'api_token' | 'agent' | 'attempt';
  id: number;
  name: string;
  role: Role;
  workspace_id: number;
  /** Only for kind `attempt`: the task it may read. */
  task_id?: number;
  /** The row of its credential, for streams that ask again whether it still counts. */
  token_id?: number;
  /** The request it acts through, for the audit. */
  request_id?: string;
};

/** Whoever waits at the other end of the socket. */
export type Caller = {
  gone(): boolean;
  /** Aborts with the socket or the server. Made on demand: it costs as much as all the rest of a small request. */
  until(): AbortSignal;
};

export const requirePermission = (principal: Principal, permission: Permission): void => {
  if (roleGrants(principal.role, permission)) return;
  throw new AppError('forbidden', {
    hint: `${principal.role} tokens do not have ${permission}; ask an admin for a token with a role that does`,
  });
};

/** `token:ci` or `agent:scout`, as stored in created_by and shown in the audit. */
export const principalLabel = (principal: Principal): string =>
  `${principal.kind === 'api_token' ? 'token' : principal.kind}:${principal.name}`;
