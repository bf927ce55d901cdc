import type { api } from '@flotilla/shared';

import type { Handlers } from '../http/context.ts';
import { createWorkspace } from '../workspaces/create.ts';
import { pauseWorkspace, resumeWorkspace } from '../workspaces/pause.ts';
import { listWorkspaces, readStatus, whoAmI } from '../workspaces/queries.ts';

export const workspaceHandlers: Handlers<typeof api.workspaces> = {
  create: ({ deps, principal, input }) => createWorkspace(deps, principal, input),
  list: ({ deps, principal, input }) => listWorkspaces(deps, principal, input),
  pause: ({ deps, principal, input }) => pauseWorkspace(deps, principal, input),
  resume: ({ deps, principal, input }) => resumeWorkspace(deps, principal, input),
  me: ({ deps, principal }) => whoAmI(deps, principal),
  status: ({ deps, principal }) => readStatus(deps, principal),
};
