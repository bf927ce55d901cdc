import type { ClaimedTask } from '@flotilla/shared';

import type { Sql } from '../../db/client.ts';
import type { Deps } from '../../deps.ts';
import { recordEvents } from '../../events/record.ts';
import { effectiveSlots } from '../../agents/slots.ts';
import { renderPrompt } from '../prompt.ts';
import type { Matchable } from '../queue-classes.ts';
import type { Candidate, Choice } from './allocate.ts';
import { takeHeads } from './heads.ts';

export type ClaimRequest = {
  agent_id: number;
  slots: number;
  claim_id: string | null;
  /** A poll by hand: its own limit of held tasks (null: the agent's slots), and a lease that calls renew. */
  poll?: { max_held: number | null };
};
/** A claim as stored; what only the API adds is its reference and the attempt's own token. */
type Held = Omit<ClaimedTask, 'ref' | 'attempt_token'>;
/** `refused` says why an agent may get nothing now; null means it may, and there is nothing more to get. */
export type ClaimResult = {
  tasks: Held[];
  refused: 'draining' | 'disabled' | 'gone' | 'paused' | 'at_capacity' | null;
  /** What the agent matches, as of this look; null when it is gone. */
  agent: Matchable | null;
};

type AgentRow = {
  id: number;
  workspace_id: number;
  kind: string;
  tags: string[];
  executors: string[];
  eligibility: string;
  workspace_paused: boolean;
  slots_ceiling: number;
  slots_default: number;
  slots_reported: number | null;
  disabled_at: string | null;
  deleted_at: string | null;
};
/** What a request of this batch holds already. */
type LiveRow = { request: number; held: number; replay: number[] };

/**
 * Claims for many agents in one transaction (the batcher collects them). Statements, in this order and no other:
 *
 * 1. lock the agents' rows and read them: whoever drains or disables one waits for us, or we see it (one statement for
 *    all of this would keep its snapshot from before the wait: overfilled slots, claims after a drain);
 * 2. count live attempts and find replays;
 * 3. lock heads of the matching queue classes, skipping what others hold, and hand them out;
 * 4. write claim, attempt, lease and event.
 *
 * Served by agents_pkey, attempts_live, tasks_queue and tasks_pkey.
 */
export const claimBatch = (deps: Deps, requests: ClaimRequest[]): Promise<ClaimResult[]> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    const agent_ids = requests.map((request) => request.agent_id);
    const [agents, live] = await Promise.all([
      sql<AgentRow[]>`
        select id, workspace_id, kind, tags, executors, eligibility, workspace_paused, slots_ceiling, slots_default, slots_reported, disabled_at, deleted_at
        from agents where id = any(${agent_ids}::bigint[]) order by id for no key update`,
      sql<LiveRow[]>`
        select r.at::int - 1 as request, count(*)::int as held, coalesce(array_agg(a.task_id order by a.id) filter (where a.claim_id = r.claim_id), '{}') as replay
        from unnest(${agent_ids}::bigint[], ${requests.map((request) => request.claim_id)}::text[]) with ordinality as r (agent_id, claim_id, at)
        join attempts a on a.agent_id = r.agent_id and a.ended_at is null group by r.at`,
      deps.classes.refresh(sql),
    ]);
    const agentById = new Map(agents.map((agent) => [agent.id, agent]));
    const liveByRequest = new Map(live.map((row) => [row.request, row]));
    // Of two requests of one agent the newer one counts, as for parked claims: each would see the same free slots.
    const newest = new Map(requests.map((request, index) => [request.agent_id, index]));
    const plans = requests.map((request, index) => {
      const planned = plan(deps, request, agentById.get(request.agent_id), liveByRequest.get(index));
      return newest.get(request.agent_id) === index ? planned : { ...planned, wanted: 0 };
    });
    const { locked, chosen } = await takeHeads(sql, plans);
    const [replayed, rows] = await Promise.all([
      loadReplayed(sql, plans),
      writeClaims(deps, db, requests, chosen, agentById),
    ]);
    deps.metrics.claim_batches.inc();
    deps.metrics.claims.inc(rows.length);
    // Heads that were locked and not taken were invisible to the other coordinators for a moment.
    const taken = new Set(rows.map((row) => row.id));
    const left = locked.filter((head) => !taken.has(head.id));
    db.afterCommit(() => {
      for (const head of left) deps.hub.raise('work', head.queue_class_id, 1);
      if (rows.length > 0) deps.hub.raise('unsequenced');
    });
    const given = plans.map(({ replay }) => [...replay]);
    for (const { request, task } of chosen) given[request]?.push(task.id);
    const rowById = new Map([...rows, ...replayed].map((row) => [row.id, row]));
    return requests.map(({ agent_id }, index) => ({
      refused: plans[index]?.refused ?? null,
      agent: agentById.get(agent_id) ?? null,
      tasks: (given[index] ?? []).flatMap((id) => rowById.get(id) ?? []),
    }));
  });

type Plan = { refused: ClaimResult['refused']; replay: number[]; wanted: number; classes: number[] };

const plan = (deps: Deps, request: ClaimRequest, agent: AgentRow | undefined, live: LiveRow | undefined): Plan => {
  const nothing = { replay: [], wanted: 0, classes: [] };
  if (agent === undefined || agent.deleted_at !== null) return { ...nothing, refused: 'gone' };
  const { held = 0, replay = [] } = live ?? {};
  // The same claim again answers what it got, even while draining: that work is already his.
  if (replay.length > 0) return { ...nothing, replay, refused: null };
  if (agent.disabled_at !== null) return { ...nothing, refused: 'disabled' };
  if (agent.eligibility !== 'eligible') return { ...nothing, refused: 'draining' };
  if (agent.workspace_paused) return { ...nothing, refused: 'paused' };
  const wanted = Math.max(0, Math.min(request.slots, limitOf(request, agent) - held));
  if (wanted === 0) return { ...nothing, refused: 'at_capacity' };
  return { refused: null, replay, wanted, classes: deps.classes.matching(agent) };
};

/** Who polls by hand may say how much it can hold: within the slots of its daemon, if it has one, and the admin's ceiling. */
const limitOf = ({ poll }: ClaimRequest, agent: AgentRow): number => {
  const slots = effectiveSlots(agent);
  if (poll?.max_held == null) return slots;
  return Math.min(poll.max_held, agent.kind === 'poll' ? agent.slots_ceiling : slots);
};

/** What an earlier claim got, for a client that lost the answer. */
const loadReplayed = async (sql: Sql, plans: Plan[]): Promise<Held[]> => {
  const task_ids = plans.flatMap(({ replay }) => replay);
  if (task_ids.length === 0) return [];
  return sql<Held[]>`
    select t.id, a.kind, t.title, a.prompt, a.epoch, a.id as attempt_id, a.number as attempt, t.timeout_s, t.executor, t.model, t.on_host_loss,
      t.metadata, greatest(0, extract(epoch from l.expires_at - flotilla_now()) * 1000)::bigint as lease_ms
    from attempts a join tasks t on t.id = a.task_id join leases l on l.attempt_id = a.id
    where a.task_id = any(${task_ids}::bigint[]) and a.ended_at is null`;
};

const writeClaims = async (
  deps: Deps,
  db: Deps['db'],
  requests: ClaimRequest[],
  chosen: Choice[],
  agents: Map<number, AgentRow>,
): Promise<Held[]> => {
  if (chosen.length === 0) return [];
  const { config } = deps;
  const claims = chosen.map(({ request, task }) => {
    const { agent_id, claim_id, poll } = requests[request] as ClaimRequest; // allocate answers indexes into requests
    const { kind, workspace_id } = agents.get(agent_id) as AgentRow; // only agents that exist want anything
    const by_call = poll !== undefined || kind === 'poll';
    const lease_ms = by_call ? config.FLOTILLA_POLL_LEASE_MS : config.FLOTILLA_LEASE_MS;
    const call_ms = by_call ? lease_ms : null;
    return { task, agent_id, claim_id, workspace_id, lease_ms, call_ms, prompt: renderPrompt(task) };
  });
  // Sent together: the rows are locked, so what the events say is known already.
  const [rows] = await Promise.all([
    insertClaims(db.sql, claims, config.FLOTILLA_KILL_GRACE_MS),
    recordEvents(
      db,
      claims.map(({ task, agent_id, workspace_id }) => ({
        type: 'task.claimed',
        entity_id: task.id,
        workspace_id,
        version: task.version + 1,
        agent_id,
        summary: { status: 'in_progress', agent_id, epoch: task.next_epoch },
      })),
    ),
  ]);
  if (rows.length !== claims.length) throw new Error('a queue head changed under its lock');
  return rows;
};

type NewClaim = {
  task: Candidate;
  agent_id: number;
  claim_id: string | null;
  workspace_id: number;
  lease_ms: number;
  /** What calls renew it by, when it was polled by hand. */
  call_ms: number | null;
  prompt: string;
};

const insertClaims = (sql: Sql, claims: NewClaim[], kill_grace_ms: number) => sql<Held[]>`
  with chosen as materialized (
    select * from unnest(${claims.map((c) => c.task.id)}::bigint[], ${claims.map((c) => c.task.next_epoch)}::bigint[],
      ${claims.map((c) => c.agent_id)}::bigint[], ${claims.map((c) => c.claim_id)}::text[], ${claims.map((c) => c.lease_ms)}::bigint[],
      ${claims.map((c) => c.call_ms)}::bigint[], ${claims.map((c) => c.prompt)}::text[])
      as c (task_id, next_epoch, agent_id, claim_id, lease_ms, call_ms, prompt)
  ), at as materialized (select flotilla_now() as now), claimed as (
    update tasks t set status = 'in_progress', claimed_by_agent_id = chosen.agent_id, epoch = chosen.next_epoch,
      attempts = t.attempts + 1, version = t.version + 1, updated_at = at.now
    from chosen, at where t.id = chosen.task_id
    returning t.id, t.workspace_id, t.title, t.epoch, t.timeout_s, t.executor, t.model, t.on_host_loss, t.metadata, t.concurrency_key, chosen.*, at.now
  ), attempt as (
    insert into attempts (workspace_id, task_id, number, agent_id, claim_id, epoch, prompt, executor, claimed_at)
    select workspace_id, id, (select coalesce(max(number), 0) + 1 from attempts a where a.task_id = claimed.id),
      agent_id, claim_id, epoch, prompt, executor, now from claimed
    returning id, task_id, kind, number
  ), lease as (
    insert into leases (task_id, workspace_id, attempt_id, agent_id, epoch, expires_at, renewable_until, call_lease_ms, concurrency_key)
    select claimed.id, workspace_id, attempt.id, agent_id, epoch, now + lease_ms * interval '1 ms',
      now + (timeout_s * 1000 + ${kill_grace_ms}::bigint + lease_ms) * interval '1 ms', call_ms, concurrency_key
    from claimed join attempt on attempt.task_id = claimed.id
  )
  select claimed.id, attempt.kind, title, prompt, epoch, attempt.id as attempt_id, attempt.number as attempt, lease_ms, timeout_s, executor, model,
    on_host_loss, metadata
  from claimed join attempt on attempt.task_id = claimed.id`;
