/**
 * Who may do what. A route names one permission; a principal's role grants a set of them; anything not granted is
 * denied. Agent-side permissions (`agent:*`) are never held by people, so that no user token can pose as a host.
 */
export const permissionsByRole = {
  viewer: ['tasks:read', 'agents:read', 'events:read'],
  operator: ['tasks:read', 'agents:read', 'events:read', 'tasks:write', 'tasks:comment', 'agents:operate'],
  admin: [
    'tasks:read',
    'agents:read',
    'events:read',
    'tasks:write',
    'tasks:comment',
    'tasks:review',
    'agents:operate',
    'agents:admin',
    'tokens:admin',
    'audit:read',
    'workspaces:admin',
  ],
  agent: ['agent:self', 'agent:run', 'tasks:read', 'tasks:comment', 'tasks:attach', 'agents:read', 'events:read'],
  attempt: ['attempt:self', 'tasks:read', 'tasks:comment', 'tasks:attach'],
} as const;

export type Role = keyof typeof permissionsByRole;
export type Permission = (typeof permissionsByRole)[Role][number];

/** `'public'` is for the few routes that bring their own credential (registration) or need none. */
export type RoutePermission = Permission | 'public';

export const roleGrants = (role: Role, permission: Permission): boolean =>
  (permissionsByRole[role] as readonly Permission[]).includes(permission);
