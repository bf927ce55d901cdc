import { AppError, type ClaimedTask } from '@flotilla/shared';
import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Caller, Principal } from '../../principal.ts';
import { attemptToken } from '../../tokens/attempt-token.ts';

type Claim = { slots: number; wait_ms: number; claim_id: string | null };

const claim = async (
  deps: Deps,
  principal: Principal,
  { slots, wait_ms, claim_id }: Claim,
  caller: Caller,
): Promise<ClaimedTask[]> => {
  const { tasks, refused } = await deps.desk.claim(deps, { agent_id: principal.id, slots, claim_id }, wait_ms, caller);
  if (refused === 'gone') throw new AppError('agent_gone');
  return tasks.map((task) => ({
    ...task,
    ref: `TASK-${task.id}`,
    attempt_token: attemptToken(deps.attempt_key, task.id, task.epoch),
  }));
};

/** Claims up to `slots` tasks for the calling agent. */
export const claimTasks = async (
  deps: Deps,
  principal: Principal,
  { body }: RouteInput<typeof api.tasks.claim>,
  caller: Caller,
): Promise<{ tasks: ClaimedTask[] }> => ({
  tasks: await claim(
    deps,
    principal,
    { slots: body.slots, wait_ms: body.wait_s * 1000, claim_id: body.claim_id ?? null },
    caller,
  ),
});

/** The single form: one task or null. */
export const claimNext = async (
  deps: Deps,
  principal: Principal,
  { query }: RouteInput<typeof api.tasks.next>,
  caller: Caller,
): Promise<ClaimedTask | null> => {
  const [task] = await claim(
    deps,
    principal,
    { slots: 1, wait_ms: query.wait * 1000, claim_id: query.claim_id ?? null },
    caller,
  );
  return task ?? null;
};
