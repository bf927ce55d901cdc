import type { Answered } from '../prompt.ts';

/** A locked queue head: the columns that decide its turn, and what its prompt is made of. */
export type Candidate = {
  id: number;
  queue_class_id: number;
  priority_rank: number;
  due_date: string | null;
  created_at: string;
  title: string;
  description: string;
  feedback: string | null;
  answers: Answered[] | null;
  version: number;
  /** The epoch it gets when it is claimed: from one global sequence, given up when it is not. */
  next_epoch: number;
  workspace_id: number;
  concurrency_key: string | null;
  concurrency_limit: number;
};

/** Which request gets which task. */
export type Choice = { request: number; task: Candidate };

/** By code unit, as ISO strings sort as times; localeCompare would put "~" before every digit. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Claim order: priority, then due date (none last), then age. */
export const claimOrder = (a: Candidate, b: Candidate): number =>
  a.priority_rank - b.priority_rank ||
  compare(a.due_date ?? '~', b.due_date ?? '~') ||
  compare(a.created_at, b.created_at) ||
  a.id - b.id;

/**
 * Hands locked tasks out in claim order, one at a time in turn to each requester that matches, so that one agent with
 * many free slots does not empty the queue before the others had theirs.
 */
export const allocate = (candidates: Candidate[], requests: { wanted: number; classes: number[] }[]): Choice[] => {
  const open = requests.map((request, index) => ({ index, left: request.wanted, classes: new Set(request.classes) }));
  const pool = candidates.toSorted(claimOrder);
  const chosen: Choice[] = [];
  for (let served = true; served && pool.length > 0;) {
    served = false;
    for (const requester of open) {
      if (requester.left === 0) continue;
      const at = pool.findIndex((task) => requester.classes.has(task.queue_class_id));
      const [task] = at === -1 ? [] : pool.splice(at, 1);
      if (task === undefined) {
        requester.left = 0;
        continue;
      }
      chosen.push({ request: requester.index, task });
      requester.left -= 1;
      served = true;
    }
  }
  return chosen;
};
