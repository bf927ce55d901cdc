import type { api, RouteInput, Task } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { patchTask } from './patch.ts';

/** Gives a task to one agent by name. */
export const assignTask = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.assign>,
): Promise<Task> => patchTask(deps, principal, { params, body: { assigned_to: body.assigned_to } });

/** Gives a task back to any agent. */
export const unassignTask = (
  deps: Deps,
  principal: Principal,
  { params }: RouteInput<typeof api.tasks.unassign>,
): Promise<Task> => patchTask(deps, principal, { params, body: { assigned_to: null } });
