/**
 * Who may do what. A route names one permission; a principal's role grants a set of them; anything not granted is
 * denied. Agent-side permissions (`agent:*`, `attempt:*`) are never held by people, so that no user token can pose as a host.
 */
export const permissionsByRole = {
  viewer: ['tasks:read', 'agents:read', 'events:read'],
  operator: [
    'tasks:read',
    'agents:read',
    'events:read',
    'tasks:write',
    'tasks:comment',
    'agents:operate',
    'queue:poll',
  ],
  admin: [
    'tasks:read',
    'agents:read',
    'events:read',
    'tasks:write',
    'tasks:comment',
    'tasks:review',
    'agents:operate',
    'queue:poll',
    'agents:admin',
    'tokens:admin',
    'audit:read',
    'workspaces:admin',
  ],
  agent: [
    'agent:self',
    'agent:run',
    'attempt:run',
    'attempt:report',
    'queue:poll',
    'tasks:read',
    'tasks:comment',
    'tasks:attach',
    'agents:read',
    'events:read',
  ],
  /** One attempt, by its own token: it may say what it spends and how far it is. Its host says how it ended. */
  attempt: ['attempt:self', 'attempt:report', 'tasks:read', 'tasks:comment', 'tasks:attach'],
  /** An attempt that was polled by hand has no host that speaks for it: its token does. */
  polled_attempt: ['attempt:self', 'attempt:run', 'attempt:report', 'tasks:read', 'tasks:comment', 'tasks:attach'],
} as const;

export type Role = keyof typeof permissionsByRole;
export type Permission = (typeof permissionsByRole)[Role][number];

/** `'public'` is for the few routes that bring their own credential (registration) or need none. */
export type RoutePermission = Permission | 'public';

export const roleGrants = (role: Role, permission: Permission): boolean =>
  (permissionsByRole[role] as readonly Permission[]).includes(permission);
