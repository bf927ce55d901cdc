import type { Sql } from '../../db/client.ts';
import type { Deps } from '../../deps.ts';
import { recordEvents } from '../../events/record.ts';
import { effectiveSlots } from '../../agents/slots.ts';
import { renderPrompt } from '../prompt.ts';
import { allocate, type Candidate } from './allocate.ts';

export type ClaimRequest = { agent_id: number; slots: number; claim_id: string | null };
/** `refused` says why an agent may get nothing now; null means it may, and there is nothing more to get. */
export type ClaimResult = { task_ids: number[]; refused: 'draining' | 'disabled' | 'gone' | null };

type AgentRow = {
  id: number;
  workspace_id: number;
  kind: string;
  tags: string[];
  executors: string[];
  eligibility: string;
  slots_ceiling: number;
  slots_default: number;
  slots_reported: number | null;
  disabled_at: string | null;
  deleted_at: string | null;
};
type ClaimedRow = {
  task_id: number;
  workspace_id: number;
  agent_id: number;
  attempt_id: number;
  epoch: number;
  version: number;
};

/**
 * Claims for many agents in one transaction (the batcher collects them). Statements, in this order and no other:
 *
 * 1. lock the agents' rows and read them: whoever drains or disables one waits for us, or we see it (one statement for
 *    all of this would keep its snapshot from before the wait: overfilled slots, claims after a drain);
 * 2. count live attempts and find replays;
 * 3. lock the heads of the matching queue classes, skipping what others hold;
 * 4. hand them out and write claim, attempt, lease and event.
 *
 * Served by agents_pkey, attempts_live, tasks_queue and tasks_pkey.
 */
export const claimBatch = (deps: Deps, requests: ClaimRequest[]): Promise<ClaimResult[]> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    const agent_ids = requests.map((request) => request.agent_id);
    const [agents, live] = await Promise.all([
      sql<AgentRow[]>`
        select id, workspace_id, kind, tags, executors, eligibility, slots_ceiling, slots_default, slots_reported, disabled_at, deleted_at
        from agents where id = any(${agent_ids}::bigint[]) order by id for no key update`,
      sql<{ agent_id: number; task_id: number; claim_id: string | null }[]>`
        select agent_id, task_id, claim_id from attempts where agent_id = any(${agent_ids}::bigint[]) and ended_at is null`,
      deps.classes.refresh(sql),
    ]);
    const agentById = new Map(agents.map((agent) => [agent.id, agent]));
    // Of two requests of one agent the newer one counts, as for parked claims: each would see the same free slots.
    const newest = new Map(requests.map((request, index) => [request.agent_id, index]));
    const plans = requests.map((request, index) => {
      const planned = plan(deps, request, agentById.get(request.agent_id), live);
      return newest.get(request.agent_id) === index ? planned : { ...planned, wanted: 0 };
    });
    const candidates = await lockHeads(db.sql, plans);
    const chosen = allocate(
      candidates,
      plans.map((p) => ({ wanted: p.wanted, classes: p.classes })),
    );
    const rows = await writeClaims(deps, db, requests, chosen, agentById);
    deps.metrics.claim_batches.inc();
    deps.metrics.claims.inc(rows.length);
    // Heads that were locked and not taken were invisible to the other coordinators for a moment.
    const left = candidates.filter((candidate) => !rows.some((row) => row.task_id === candidate.id));
    db.afterCommit(() => {
      for (const candidate of left) deps.hub.raise('work', candidate.queue_class_id, 1);
      if (rows.length > 0) deps.hub.raise('unsequenced');
    });
    return plans.map((p, index) => ({
      refused: p.refused,
      task_ids: [...p.replay, ...chosen.filter((choice) => choice.request === index).map((choice) => choice.task.id)],
    }));
  });

type Plan = { refused: ClaimResult['refused']; replay: number[]; wanted: number; classes: number[] };

const plan = (
  deps: Deps,
  request: ClaimRequest,
  agent: AgentRow | undefined,
  live: { agent_id: number; task_id: number; claim_id: string | null }[],
): Plan => {
  const nothing = { replay: [], wanted: 0, classes: [] };
  if (agent === undefined || agent.deleted_at !== null) return { ...nothing, refused: 'gone' };
  const held = live.filter((attempt) => attempt.agent_id === agent.id);
  const replay = held
    .filter((attempt) => request.claim_id !== null && attempt.claim_id === request.claim_id)
    .map((a) => a.task_id);
  // The same claim again answers what it got, even while draining: that work is already his.
  if (replay.length > 0) return { ...nothing, replay, refused: null };
  if (agent.disabled_at !== null) return { ...nothing, refused: 'disabled' };
  if (agent.eligibility !== 'eligible') return { ...nothing, refused: 'draining' };
  const free = effectiveSlots(agent) - held.length;
  return {
    refused: null,
    replay,
    wanted: Math.max(0, Math.min(request.slots, free)),
    classes: deps.classes.matching(agent),
  };
};

const lockHeads = async (sql: Sql, plans: Plan[]): Promise<Candidate[]> => {
  const demand = new Map<number, number>();
  for (const { wanted, classes } of plans) {
    if (wanted > 0) for (const id of classes) demand.set(id, (demand.get(id) ?? 0) + wanted);
  }
  if (demand.size === 0) return [];
  return sql<Candidate[]>`
    select head.* from unnest(${[...demand.keys()]}::bigint[], ${[...demand.values()]}::int[]) as class (id, wanted)
    cross join lateral (
      select id, queue_class_id, priority_rank, due_date, created_at, title, description
      from tasks
      where queue_class_id = class.id and status in ('inbox', 'assigned') and deferred_until is null and deleted_at is null
      order by priority_rank, due_date nulls last, created_at, id
      limit class.wanted
      for update skip locked
    ) head`;
};

const writeClaims = async (
  deps: Deps,
  db: Deps['db'],
  requests: ClaimRequest[],
  chosen: { request: number; task: Candidate }[],
  agents: Map<number, AgentRow>,
): Promise<ClaimedRow[]> => {
  if (chosen.length === 0) return [];
  const { config } = deps;
  const claims = chosen.map(({ request, task }) => {
    const { agent_id, claim_id } = requests[request] as ClaimRequest; // allocate answers indexes into requests
    const lease_ms = agents.get(agent_id)?.kind === 'poll' ? config.FLOTILLA_POLL_LEASE_MS : config.FLOTILLA_LEASE_MS;
    return { task_id: task.id, agent_id, claim_id, lease_ms, prompt: renderPrompt(task) };
  });
  const rows = await db.sql<ClaimedRow[]>`
    with chosen as materialized (
      select * from unnest(${claims.map((c) => c.task_id)}::bigint[], ${claims.map((c) => c.agent_id)}::bigint[],
        ${claims.map((c) => c.claim_id)}::text[], ${claims.map((c) => c.lease_ms)}::bigint[], ${claims.map((c) => c.prompt)}::text[])
        as c (task_id, agent_id, claim_id, lease_ms, prompt)
    ), at as materialized (select flotilla_now() as now), claimed as (
      update tasks t set status = 'in_progress', claimed_by_agent_id = chosen.agent_id, epoch = nextval('epochs'),
        attempts = t.attempts + 1, version = t.version + 1, updated_at = at.now
      from chosen, at where t.id = chosen.task_id
      returning t.id, t.workspace_id, t.epoch, t.version, t.timeout_s, t.executor, chosen.*, at.now
    ), attempt as (
      insert into attempts (workspace_id, task_id, number, agent_id, claim_id, epoch, prompt, executor, claimed_at)
      select workspace_id, id, (select coalesce(max(number), 0) + 1 from attempts a where a.task_id = claimed.id),
        agent_id, claim_id, epoch, prompt, executor, now from claimed
      returning id, task_id
    ), lease as (
      insert into leases (task_id, workspace_id, attempt_id, agent_id, epoch, expires_at, renewable_until)
      select claimed.id, workspace_id, attempt.id, agent_id, epoch, now + lease_ms * interval '1 ms',
        now + (timeout_s * 1000 + ${config.FLOTILLA_KILL_GRACE_MS}::bigint + lease_ms) * interval '1 ms'
      from claimed join attempt on attempt.task_id = claimed.id
    )
    select claimed.id as task_id, workspace_id, agent_id, attempt.id as attempt_id, epoch, version
    from claimed join attempt on attempt.task_id = claimed.id`;
  await recordEvents(
    db,
    rows.map((row) => ({
      type: 'task.claimed',
      entity_id: row.task_id,
      workspace_id: row.workspace_id,
      version: row.version,
      agent_id: row.agent_id,
      summary: { status: 'in_progress', agent_id: row.agent_id, epoch: row.epoch },
    })),
  );
  return rows;
};
