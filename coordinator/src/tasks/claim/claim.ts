import { AppError, type ClaimedTask } from '@flotilla/shared';
import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { attemptToken } from '../../tokens/attempt-token.ts';

type Claim = { slots: number; wait_ms: number; claim_id: string | null };
type MatchableRow = {
  id: number;
  workspace_id: number;
  tags: string[];
  executors: string[];
  deleted_at: string | null;
};

const claim = async (
  deps: Deps,
  principal: Principal,
  { slots, wait_ms, claim_id }: Claim,
  signal: AbortSignal,
): Promise<ClaimedTask[]> => {
  const [agent] = await deps.db.sql<MatchableRow[]>`
    select id, workspace_id, tags, executors, deleted_at from agents where id = ${principal.id}`;
  if (agent === undefined || agent.deleted_at !== null) throw new AppError('agent_gone');
  await deps.classes.refresh(deps.db.sql);
  const result = await deps.desk.claim(deps, agent, { agent_id: principal.id, slots, claim_id }, wait_ms, signal);
  if (result.refused === 'gone') throw new AppError('agent_gone');
  return loadClaimed(deps, principal.id, result.task_ids);
};

const loadClaimed = async (deps: Deps, agent_id: number, task_ids: number[]): Promise<ClaimedTask[]> => {
  if (task_ids.length === 0) return [];
  const rows = await deps.db.sql<Omit<ClaimedTask, 'ref' | 'attempt_token'>[]>`
    select t.id, a.kind, t.title, a.prompt, a.epoch, a.id as attempt_id, a.number as attempt, t.timeout_s, t.executor, t.model, t.on_host_loss,
      t.metadata, greatest(0, extract(epoch from l.expires_at - flotilla_now()) * 1000)::bigint as lease_ms
    from attempts a join tasks t on t.id = a.task_id join leases l on l.attempt_id = a.id
    where a.task_id = any(${task_ids}::bigint[]) and a.agent_id = ${agent_id} and a.ended_at is null
    order by array_position(${task_ids}::bigint[], t.id)`;
  return rows.map((row) => ({
    ...row,
    ref: `TASK-${row.id}`,
    attempt_token: attemptToken(deps.attempt_key, row.id, row.epoch),
  }));
};

/** Claims up to `slots` tasks for the calling agent. */
export const claimTasks = async (
  deps: Deps,
  principal: Principal,
  { body }: RouteInput<typeof api.tasks.claim>,
  signal: AbortSignal,
): Promise<{ tasks: ClaimedTask[] }> => ({
  tasks: await claim(
    deps,
    principal,
    { slots: body.slots, wait_ms: body.wait_s * 1000, claim_id: body.claim_id ?? null },
    signal,
  ),
});

/** The single form: one task or null. */
export const claimNext = async (
  deps: Deps,
  principal: Principal,
  { query }: RouteInput<typeof api.tasks.next>,
  signal: AbortSignal,
): Promise<ClaimedTask | null> => {
  const [task] = await claim(
    deps,
    principal,
    { slots: 1, wait_ms: query.wait * 1000, claim_id: query.claim_id ?? null },
    signal,
  );
  return task ?? null;
};
