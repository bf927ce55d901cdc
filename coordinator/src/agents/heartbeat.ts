import { AppError, agentStatus, type AttemptVerdict, type Beat, type BeatAnswer } from '@flotilla/shared';
import type { api, RouteInput } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { findFutureEpochs } from '../tasks/future-epochs.ts';
import { applyHostFacts } from './host-facts.ts';
import { readSpread, timingsOf } from './timings.ts';

export type BeatItem = { agent_id: number; beat: Beat };
type AgentRow = {
  id: number;
  name: string;
  eligibility: 'eligible' | 'ineligible';
  eligibility_generation: number;
  drain_deadline: string | null;
  drain_remaining_ms: number | null;
  drain_on_deadline: 'wait' | 'requeue' | 'kill' | null;
  drain_requested_at: string | null;
  restart_generation: number;
  token_generation: number;
  disabled_at: string | null;
  deleted_at: string | null;
  slots_reported: number | null;
  version: string | null;
  platform: string | null;
  executors: string[];
};
type Renewed = { task_id: number; epoch: number; lease_ms: number; cancel: boolean };
/** `accepted`: false for a beat of a second instance of its agent, of which nothing was stored and nothing renewed. */
export type StoredBeat = { agent: AgentRow | undefined; accepted: boolean; renewed: Renewed[]; spread_ms: number };

/** A host that restarted may take over from itself when its last beat is this old; a clone of a living one may not. */
const RESTART_SILENCE_S = 15;

/** Stores beats of many agents in one transaction: two statements whatever their number. Never writes agents or tasks. */
export const storeBeats = (deps: Deps, items: BeatItem[]): Promise<StoredBeat[]> =>
  deps.db.transaction(async ({ sql }) => {
    // The newest beat of an agent wins; an upsert must not name a row twice.
    const newest = [...new Map(items.map((item) => [item.agent_id, item])).values()];
    const held = items.flatMap(({ agent_id, beat }) =>
      beat.attempts.map((attempt) => ({ ...attempt, agent_id, instance_id: beat.instance_id })),
    );
    const [agents, stored, renewed, spread_ms] = await Promise.all([
      sql<AgentRow[]>`
        select id, name, eligibility, eligibility_generation, drain_deadline, drain_on_deadline, drain_requested_at, restart_generation,
          token_generation, disabled_at, deleted_at, slots_reported, version, platform, executors,
          greatest(0, extract(epoch from drain_deadline - flotilla_now()) * 1000)::bigint as drain_remaining_ms
        from agents where id = any(${newest.map((item) => item.agent_id)}::bigint[])`,
      sql<{ agent_id: number; instance_id: string }[]>`
        insert into agent_beats (agent_id, workspace_id, last_heartbeat_at, instance_id, boot_id, machine_id, seq, state, isolation,
          eligibility_generation, observed)
        select b.agent_id, a.workspace_id, (select flotilla_now()), b.instance_id, b.boot_id, b.machine_id, b.seq, b.state, b.isolation,
          b.generation, b.observed::jsonb
        from unnest(${newest.map((i) => i.agent_id)}::bigint[], ${newest.map((i) => i.beat.instance_id)}::text[],
          ${newest.map((i) => i.beat.boot_id ?? null)}::text[], ${newest.map((i) => i.beat.machine_id ?? null)}::text[],
          ${newest.map((i) => i.beat.seq)}::bigint[], ${newest.map((i) => i.beat.state)}::text[], ${newest.map((i) => i.beat.isolation ?? null)}::text[],
          ${newest.map((i) => i.beat.eligibility_generation)}::int[],
          ${newest.map((i) => JSON.stringify({ outbox: i.beat.outbox, resources: i.beat.resources }))}::text[])
          as b (agent_id, instance_id, boot_id, machine_id, seq, state, isolation, generation, observed)
        join agents a on a.id = b.agent_id and a.deleted_at is null
        on conflict (agent_id) do update set last_heartbeat_at = excluded.last_heartbeat_at, instance_id = excluded.instance_id,
          boot_id = excluded.boot_id, machine_id = excluded.machine_id, seq = excluded.seq, state = excluded.state, isolation = excluded.isolation,
          eligibility_generation = excluded.eligibility_generation, observed = excluded.observed,
          superseded_instance_id = case when agent_beats.instance_id = excluded.instance_id then agent_beats.superseded_instance_id else agent_beats.instance_id end
        where agent_beats.instance_id = excluded.instance_id or (
          agent_beats.superseded_instance_id is distinct from excluded.instance_id
          and coalesce(agent_beats.machine_id = excluded.machine_id, true)
          and (coalesce(agent_beats.boot_id = excluded.boot_id, true)
            or agent_beats.last_heartbeat_at < excluded.last_heartbeat_at - ${RESTART_SILENCE_S} * interval '1 s'))
        returning agent_id, instance_id`,
      held.length === 0 ? [] : renewLeases(deps, sql, held),
      readSpread(sql),
    ]);
    deps.metrics.beats.inc(items.length);
    const byId = new Map(agents.map((agent) => [agent.id, agent]));
    const instanceOf = new Map(stored.map((row) => [row.agent_id, row.instance_id]));
    const renewedBy = new Map<number, Renewed[]>();
    for (const row of renewed) {
      const siblings = renewedBy.get(row.agent_id);
      if (siblings === undefined) renewedBy.set(row.agent_id, [row]);
      else siblings.push(row);
    }
    return items.map(({ agent_id, beat }) => ({
      agent: byId.get(agent_id),
      accepted: instanceOf.get(agent_id) === beat.instance_id,
      renewed: renewedBy.get(agent_id) ?? [],
      spread_ms,
    }));
  });

/**
 * Renews what is still held, for the instance whose beat was stored just before. Locks the lease row and checks the epoch,
 * as expiry does: whoever comes first wins. Never beyond renewable_until, so that a hung agentd cannot extend a task.
 * Served by leases_pkey and agent_beats_pkey.
 */
const renewLeases = (
  deps: Deps,
  sql: Deps['db']['sql'],
  held: { task_id: number; epoch: number; phase: string; agent_id: number; instance_id: string }[],
) =>
  sql<(Renewed & { agent_id: number })[]>`
    with at as materialized (select flotilla_now() as now)
    update leases l set phase = h.phase, held_until = null,
      expires_at = greatest(l.expires_at, least(at.now + ${deps.config.FLOTILLA_LEASE_MS} * interval '1 ms', l.renewable_until))
    from unnest(${held.map((h) => h.task_id)}::bigint[], ${held.map((h) => h.epoch)}::bigint[], ${held.map((h) => h.agent_id)}::bigint[],
      ${held.map((h) => h.phase)}::text[], ${held.map((h) => h.instance_id)}::text[]) as h (task_id, epoch, agent_id, phase, instance_id),
      agent_beats b, tasks t, at
    where l.task_id = h.task_id and l.epoch = h.epoch and l.agent_id = h.agent_id and t.id = l.task_id
      and b.agent_id = h.agent_id and b.instance_id = h.instance_id
    returning l.task_id, l.epoch, l.agent_id, t.cancel_requested_at is not null as cancel,
      greatest(0, extract(epoch from l.expires_at - at.now) * 1000)::bigint as lease_ms`;

/** Takes observed state up, answers desired state down, after the batch that holds it committed. */
export const heartbeat = async (
  deps: Deps,
  principal: Principal,
  { body: beat }: Pick<RouteInput<typeof api.agents.heartbeat>, 'body'>,
): Promise<BeatAnswer> => {
  const { agent, accepted, renewed, spread_ms } = await deps.batches.beats(deps, { agent_id: principal.id, beat });
  if (agent === undefined || agent.deleted_at !== null) throw new AppError('agent_gone');
  if (!accepted)
    throw new AppError('instance_conflict', {
      hint: `two processes run as ${agent.name}: stop the copy and let it join as an agent of its own; a host that was moved to another machine joins anew, too`,
    });
  await applyHostFacts(deps, agent, beat);
  const attempts = beat.attempts.map((attempt) => verdictOn(attempt, renewed));
  await alertFutureEpochs(deps, principal, attempts);
  const drain = agent.drain_requested_at === null || agent.eligibility === 'eligible' ? null : drainOf(agent);
  const silent_ms = 0;
  return {
    agent: {
      id: agent.id,
      name: agent.name,
      status: agentStatus({ ...agent, silent_ms }, deps.config.FLOTILLA_LOST_MS),
    },
    eligibility: agent.disabled_at === null ? agent.eligibility : 'ineligible',
    eligibility_generation: agent.eligibility_generation,
    drain,
    restart_generation: agent.restart_generation,
    token_generation: agent.token_generation,
    version: null,
    commands: [],
    attempts,
    timings: timingsOf(deps, spread_ms),
    desired_state: { action: drain === null ? 'run' : 'drain' },
  };
};

const alertFutureEpochs = async (deps: Deps, { id, workspace_id }: Principal, attempts: AttemptVerdict[]) => {
  const lost = attempts.filter(({ verdict }) => verdict === 'lost').map(({ epoch }) => epoch);
  const future = await findFutureEpochs(deps, lost);
  if (future.size === 0) return;
  const summary = { epochs: [...future] };
  await recordEvents(deps.db, [
    { type: 'agent.future_epochs', entity_id: id, workspace_id, version: 1, agent_id: id, summary },
  ]);
  deps.hub.raise('unsequenced');
};

const drainOf = (agent: AgentRow): BeatAnswer['drain'] => ({
  generation: agent.eligibility_generation,
  remaining_ms: agent.drain_remaining_ms,
  deadline: agent.drain_deadline,
  on_deadline: agent.drain_on_deadline ?? 'wait',
});

const verdictOn = ({ task_id, epoch }: { task_id: number; epoch: number }, renewed: Renewed[]): AttemptVerdict => {
  const row = renewed.find((candidate) => candidate.task_id === task_id && candidate.epoch === epoch);
  if (row === undefined) return { task_id, epoch, verdict: 'lost', lease_ms: null };
  return { task_id, epoch, verdict: row.cancel ? 'cancel' : 'renewed', lease_ms: row.lease_ms };
};
