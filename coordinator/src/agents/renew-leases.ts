import type { Config } from '../config.ts';
import type { Sql } from '../db/client.ts';
import type { Held } from './store-beats.ts';

/** Well below the 30 s that a silent host's task may take to be queued again after lease and grace. */
const MAX_STEP_MS = 25_000;

/**
 * A lease is written for this much longer than promised, and then left alone while the promise is kept: of the beats of a
 * host each third writes (90 s promised, 112.5 s written, beats 9 to 11 s apart), the others only read. A host that falls
 * silent loses its tasks up to this much later.
 */
const stepMs = ({ FLOTILLA_LEASE_MS }: Config): number => Math.min(FLOTILLA_LEASE_MS / 4, MAX_STEP_MS);

/** Numbers as Postgres reads an array. The driver makes a quoted and escaped string of each. */
const arrayOf = (numbers: number[]): string => `{${numbers.join()}}`;

type Columns = {
  task_ids: number[];
  epochs: number[];
  agent_ids: number[];
  phases: string[];
  left_ms: number[];
  due: boolean[];
  cancelled: number[];
};

/** Milliseconds left, null for a lost one; and whether it has to be written. */
export type Seen = { left_ms: number | null; due: boolean; cancel: boolean };
const LOST: Seen = { left_ms: null, due: false, cancel: false };

/**
 * Which leases stand, in the order asked, and which must be written: less than the promise is left (one that may not be
 * renewed further has enough), or the phase is new, or the beat ends a hold. Locks nothing: a report or a release that takes
 * a lease at this moment comes before or after the beat, and expiry takes none that has the promised time left.
 *
 * One row for all of them: the driver needs longer to read a row than Postgres to find it. By key alone, so that one walk
 * over the index finds all (3 µs per beat of ten; a join with what was asked 20). Served by leases_pkey and tasks_pkey.
 */
export const readLeases = async ({ FLOTILLA_LEASE_MS }: Config, sql: Sql, held: Held[]): Promise<Seen[]> => {
  if (held.length === 0) return [];
  const asked = arrayOf(held.map(({ attempt }) => attempt.task_id));
  const [columns] = await sql<Columns[]>`
    with at as materialized (select flotilla_now() as now)
    select coalesce(json_agg(task_id), '[]') as task_ids, json_agg(epoch) as epochs, json_agg(agent_id) as agent_ids, json_agg(phase) as phases,
      json_agg(greatest(0, date_part('epoch', expires_at - now) * 1000)::bigint) as left_ms,
      json_agg(held_until is not null or expires_at < least(now + ${FLOTILLA_LEASE_MS} * interval '1 ms', renewable_until)) as due,
      (select coalesce(json_agg(id), '[]') from tasks where id = any(${asked}::bigint[]) and cancel_requested_at is not null) as cancelled
    from leases, at where task_id = any(${asked}::bigint[])`;
  if (columns === undefined) throw new Error('an aggregate has one row');
  const { task_ids, epochs, agent_ids, phases, left_ms, due } = columns;
  const positions = new Map(task_ids.map((task_id, at) => [task_id, at]));
  const cancelled = new Set(columns.cancelled);
  return held.map(({ item, attempt: { task_id, epoch, phase } }) => {
    const at = positions.get(task_id);
    if (at === undefined || epochs[at] !== epoch || agent_ids[at] !== item.agent_id) return LOST;
    return {
      left_ms: left_ms[at] ?? null,
      due: due[at] === true || phases[at] !== phase,
      cancel: cancelled.has(task_id),
    };
  });
};

/**
 * Writes leases that are due, and answers the milliseconds left by epoch; one that is missing is lost. Locks the lease row
 * and checks the epoch, as expiry does: whoever comes first wins. Never beyond renewable_until, so that a hung agentd cannot
 * extend a task. Served by leases_pkey; HOT.
 */
export const renewLeases = async (config: Config, sql: Sql, due: Held[]): Promise<Map<number, number>> => {
  if (due.length === 0) return new Map();
  const rows = await sql<{ epoch: number; left_ms: number }[]>`
    with at as materialized (select flotilla_now() as now)
    update leases l set phase = h.phase, held_until = null,
      expires_at = greatest(l.expires_at, least(at.now + ${config.FLOTILLA_LEASE_MS + stepMs(config)} * interval '1 ms', l.renewable_until))
    from unnest(${arrayOf(due.map(({ attempt }) => attempt.task_id))}::bigint[], ${arrayOf(due.map(({ attempt }) => attempt.epoch))}::bigint[],
      ${arrayOf(due.map(({ item }) => item.agent_id))}::bigint[], ${due.map(({ attempt }) => attempt.phase)}::text[])
      as h (task_id, epoch, agent_id, phase), at
    where l.task_id = h.task_id and l.epoch = h.epoch and l.agent_id = h.agent_id
    returning l.epoch, greatest(0, date_part('epoch', l.expires_at - at.now) * 1000)::bigint as left_ms`;
  return new Map(rows.map(({ epoch, left_ms }) => [epoch, left_ms]));
};
