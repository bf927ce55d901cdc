import type { Sql } from '../../db/client.ts';
import { answers } from '../questions/answers.ts';
import { admitKeys } from './admit-keys.ts';
import { allocate, type Candidate, type Choice } from './allocate.ts';

/** Who wants how many tasks, and of which queue classes. */
type Wish = { wanted: number; classes: number[] };

/** After this many looks the next claim goes on where this one stops; each finds at least one more head in its way. */
const MAX_LOOKS = 8;

/**
 * Locks queue heads and hands them out in claim order.
 *
 * The first look takes few heads of each class: with fifty classes nearly all would be locked in vain. Where none of them
 * is left, the next of that class might have come before what others got, so another look takes as many there as there
 * are takers. One more follows, too, when heads whose key is in use were taken out of the queue.
 */
export const takeHeads = async (sql: Sql, wishes: Wish[]): Promise<{ locked: Candidate[]; chosen: Choice[] }> => {
  const most = demandOf(wishes);
  if (most.size === 0) return { locked: [], chosen: [] };
  const wanted = wishes.reduce((sum, wish) => sum + wish.wanted, 0);
  const few = Math.max(2, Math.ceil((2 * wanted) / most.size));
  const limits = new Map([...most].map(([id, count]) => [id, Math.min(few, count)]));
  for (let looks = 1; ; looks++) {
    const heads = await lockHeads(sql, limits);
    const keyed = heads.some(({ concurrency_key }) => concurrency_key !== null);
    const { open, parked } = keyed ? await admitKeys(sql, heads) : { open: heads, parked: 0 };
    const chosen = allocate(open, wishes);
    const short = usedUp(limits, heads, open, chosen).filter((id) => (limits.get(id) ?? 0) < (most.get(id) ?? 0));
    if ((parked === 0 && short.length === 0) || looks === MAX_LOOKS) return { locked: open, chosen };
    for (const id of short) limits.set(id, most.get(id) ?? 0);
  }
};

/** For each class as many as all that match it want together. */
const demandOf = (wishes: Wish[]): Map<number, number> => {
  const most = new Map<number, number>();
  for (const { wanted, classes } of wishes) {
    if (wanted > 0) for (const id of classes) most.set(id, (most.get(id) ?? 0) + wanted);
  }
  return most;
};

const countByClass = (heads: Candidate[]): Map<number, number> => {
  const counts = new Map<number, number>();
  for (const { queue_class_id: id } of heads) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
};

/** The classes that gave as many heads as they were asked for, and of which nothing is left. */
const usedUp = (limits: Map<number, number>, heads: Candidate[], open: Candidate[], chosen: Choice[]): number[] => {
  const given = countByClass(heads);
  const usable = countByClass(open);
  const taken = countByClass(chosen.map(({ task }) => task));
  return [...limits.keys()].filter(
    (id) => given.get(id) === limits.get(id) && (taken.get(id) ?? 0) === (usable.get(id) ?? 0),
  );
};

/** Served by tasks_queue. */
const lockHeads = (sql: Sql, limits: Map<number, number>) => sql<Candidate[]>`
  select head.* from unnest(${[...limits.keys()]}::bigint[], ${[...limits.values()]}::int[]) as class (id, most)
  cross join lateral (
    select id, workspace_id, queue_class_id, concurrency_key, concurrency_limit, priority_rank, due_date, created_at, title, description, feedback, ${answers(sql)} as answers, version, nextval('epochs') as next_epoch
    from tasks
    where queue_class_id = class.id and status in ('inbox', 'assigned') and deferred_until is null and deleted_at is null
    order by priority_rank, due_date nulls last, created_at, id
    limit class.most
    for update skip locked
  ) head`;
