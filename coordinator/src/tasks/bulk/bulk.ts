import {
  AppError,
  type api,
  type BulkOutcome,
  type BulkTasks,
  type RouteInput,
  type RouteOutput,
} from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { cancelTask } from '../cancel.ts';
import { deleteTask } from '../delete.ts';
import { patchTask } from '../patch.ts';
import { retryTask } from '../retry.ts';
import { changeLabels } from './labels.ts';

/**
 * Does one thing to many tasks, one after the other, each in its own transaction: a refusal is that task's outcome. When
 * the database goes away the request fails; repeating it is harmless.
 */
export const bulkTasks = async (
  deps: Deps,
  principal: Principal,
  { body }: RouteInput<typeof api.tasks.bulk>,
): Promise<RouteOutput<typeof api.tasks.bulk>> => {
  const outcomes: BulkOutcome[] = [];
  for (const id of new Set(body.ids)) outcomes.push(await act(deps, principal, id, body));
  const succeeded = outcomes.filter(({ ok }) => ok).length;
  return { outcomes, succeeded, failed: outcomes.length - succeeded };
};

const act = async (deps: Deps, principal: Principal, id: number, body: BulkTasks): Promise<BulkOutcome> => {
  try {
    const task = await verbs[body.action](deps, principal, id, body);
    return { id, ok: true, status: task?.status ?? null, error: null };
  } catch (error) {
    if (!(error instanceof AppError) || error.code === 'unavailable') throw error;
    return { id, ok: false, status: null, error: { code: error.code, message: error.message } };
  }
};

type Act = (
  deps: Deps,
  principal: Principal,
  id: number,
  body: BulkTasks,
) => ReturnType<typeof patchTask | typeof deleteTask>;

const verbs: Record<BulkTasks['action'], Act> = {
  backlog: (deps, principal, id) => patchTask(deps, principal, { params: { id }, body: { status: 'backlog' } }),
  inbox: (deps, principal, id) => patchTask(deps, principal, { params: { id }, body: { status: 'inbox' } }),
  // The contract lets no assign through without a name: undefined would be "leave it".
  assign: (deps, principal, id, { assigned_to }) =>
    patchTask(deps, principal, { params: { id }, body: { assigned_to } }),
  unassign: (deps, principal, id) => patchTask(deps, principal, { params: { id }, body: { assigned_to: null } }),
  cancel: (deps, principal, id, { reason }) => cancelTask(deps, principal, { params: { id }, body: { reason } }),
  retry: (deps, principal, id) => retryTask(deps, principal, { params: { id } }),
  delete: (deps, principal, id) => deleteTask(deps, principal, { params: { id } }),
  priority: (deps, principal, id, { priority }) => patchTask(deps, principal, { params: { id }, body: { priority } }),
  labels: changeLabels,
};
