import type { AttemptVerdict, Beat } from '@flotilla/shared';

import type { Config } from '../config.ts';
import type { Sql } from '../db/client.ts';
import type { Deps } from '../deps.ts';
import { readLeases, renewLeases, type Seen } from './renew-leases.ts';
import { readSpread } from './timings.ts';

export type BeatItem = { agent_id: number; beat: Beat };
/** One attempt that a beat says its host holds. */
export type Held = { item: BeatItem; attempt: Beat['attempts'][number] };
export type AgentRow = {
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
/** `accepted`: false for a beat of a second instance of its agent, of which nothing was stored and nothing renewed. */
export type StoredBeat = {
  agent: AgentRow | undefined;
  accepted: boolean;
  attempts: AttemptVerdict[];
  spread_ms: number;
};

/** A host that restarted may take over from itself when its last beat is this old; a clone of a living one may not. */
const RESTART_SILENCE_S = 15;

/** Stores beats of many agents in one transaction: a few statements whatever their number. Never writes agents or tasks. */
export const storeBeats = (deps: Deps, items: BeatItem[]): Promise<StoredBeat[]> =>
  deps.db.transaction(async ({ sql }) => {
    // The newest beat of an agent wins; an upsert must not name a row twice.
    const newest = [...new Map(items.map((item) => [item.agent_id, item])).values()];
    const held = items.flatMap((item) => item.beat.attempts.map((attempt) => ({ item, attempt })));
    const [agents, stored, seen, spread_ms] = await Promise.all([
      readAgents(sql, newest),
      upsertBeats(sql, newest),
      readLeases(deps.config, sql, held),
      readSpread(sql),
    ]);
    deps.metrics.beats.inc(items.length);
    const byId = new Map(agents.map((agent) => [agent.id, agent]));
    const instanceOf = new Map(stored.map((row) => [row.agent_id, row.instance_id]));
    const isAccepted = ({ agent_id, beat }: BeatItem) => instanceOf.get(agent_id) === beat.instance_id;
    // What was accepted stays so until the commit: the upsert locked the row of its agent.
    const due = held.filter(({ item }, at) => seen[at]?.due === true && isAccepted(item));
    // Their rows are locked in the order of the tasks, as reports lock them.
    const renewed = await renewLeases(
      deps.config,
      sql,
      due.toSorted((a, b) => a.attempt.task_id - b.attempt.task_id),
    );
    const verdicts = held.map(({ attempt }, at) => verdictOn(deps.config, attempt, seen[at], renewed));
    let told = 0;
    return items.map((item) => ({
      agent: byId.get(item.agent_id),
      accepted: isAccepted(item),
      attempts: verdicts.slice(told, (told += item.beat.attempts.length)),
      spread_ms,
    }));
  });

/** Tells no more than the promise: a host fences its tasks by what it was told, and must not do so later for a step. */
const verdictOn = (
  { FLOTILLA_LEASE_MS }: Config,
  { task_id, epoch }: Held['attempt'],
  seen: Seen | undefined,
  renewed: Map<number, number>,
): AttemptVerdict => {
  const left_ms = (seen?.due === true ? renewed.get(epoch) : seen?.left_ms) ?? null;
  if (left_ms === null) return { task_id, epoch, verdict: 'lost', lease_ms: null };
  const lease_ms = Math.min(left_ms, FLOTILLA_LEASE_MS);
  return { task_id, epoch, verdict: seen?.cancel === true ? 'cancel' : 'renewed', lease_ms };
};

const readAgents = (sql: Sql, items: BeatItem[]) => sql<AgentRow[]>`
  select id, name, eligibility, eligibility_generation, drain_deadline, drain_on_deadline, drain_requested_at, restart_generation,
      token_generation, disabled_at, deleted_at, slots_reported, version, platform, executors,
      greatest(0, extract(epoch from drain_deadline - flotilla_now()) * 1000)::bigint as drain_remaining_ms
    from agents where id = any(${items.map((item) => item.agent_id)}::bigint[])`;

const upsertBeats = (sql: Sql, items: BeatItem[]) => sql<{ agent_id: number; instance_id: string }[]>`
    insert into agent_beats (agent_id, workspace_id, last_heartbeat_at, instance_id, boot_id, machine_id, seq, state, isolation,
      eligibility_generation, observed)
    select b.agent_id, a.workspace_id, (select flotilla_now()), b.instance_id, b.boot_id, b.machine_id, b.seq, b.state, b.isolation,
      b.generation, b.observed::jsonb
    from unnest(${items.map((i) => i.agent_id)}::bigint[], ${items.map((i) => i.beat.instance_id)}::text[],
      ${items.map((i) => i.beat.boot_id ?? null)}::text[], ${items.map((i) => i.beat.machine_id ?? null)}::text[],
      ${items.map((i) => i.beat.seq)}::bigint[], ${items.map((i) => i.beat.state)}::text[], ${items.map((i) => i.beat.isolation ?? null)}::text[],
      ${items.map((i) => i.beat.eligibility_generation)}::int[],
      ${items.map((i) => JSON.stringify({ outbox: i.beat.outbox, resources: i.beat.resources }))}::text[])
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
    returning agent_id, instance_id`;
