import {
  type AttemptState,
  attemptMachine,
  can,
  isTerminal,
  liveAttemptStates,
  type OnHostLoss,
  taskLimits,
  taskMachine,
  type TaskStatus,
  type TaskVerb,
} from '@flotilla/shared';

/** The protocol's numbers, in milliseconds of the database's clock. */
export const LEASE_MS = 90_000;
/** A beat that renews writes this much more than the lease, so that the next ones need not. */
export const STEP_MS = 22_500;
export const GRACE_MS = 30_000;
export const KILL_GRACE_MS = 60_000;
export const HOLD_MS = 24 * 3_600_000;
export const TIMEOUT_S = 3600;

export type ModelTask = {
  id: number;
  status: TaskStatus;
  assigned: number | null;
  review: 'none' | 'human';
  on_host_loss: OnHostLoss;
  epoch: number | null;
  claimed_by: number | null;
  attempts: number;
  dispatch_attempts: number;
  stale_requeues: number;
  rejections: number;
  cancel_requested: boolean;
};

export type ModelAttempt = {
  task: number;
  agent: number;
  epoch: number;
  claim_id: string;
  state: AttemptState;
  /** What ended it, as the agent sent it: the same again is answered as before. */
  report: string | null;
  late: string | null;
  expires_at: number;
  renewable_until: number;
  held_until: number | null;
  /** A beat told that it runs: that has to be written once, whatever is left of the lease. */
  told: boolean;
};

export type ModelAgent = { id: number; slots: number; draining: boolean; generation: number };

/** What the coordinator should hold after a history: no database, no clock but `now`. */
export type Model = {
  now: number;
  tasks: Map<number, ModelTask>;
  attempts: ModelAttempt[];
  agents: ModelAgent[];
  highest_epoch: number;
};

export const emptyModel = (agents: ModelAgent[]): Model => ({
  now: 0,
  tasks: new Map(),
  attempts: [],
  agents,
  highest_epoch: 0,
});

export const taskOf = (model: Model, id: number): ModelTask => {
  const task = model.tasks.get(id);
  if (task === undefined) throw new Error(`the model has no task ${id}`);
  return task;
};

export const isLive = (attempt: ModelAttempt): boolean => liveAttemptStates.includes(attempt.state);

const move = (task: ModelTask, verb: TaskVerb, to: TaskStatus): TaskStatus => {
  const edge = taskMachine.edges[verb];
  if (
    !can(taskMachine, verb, task.status) ||
    (edge.to.length > 0 && !(edge.to as readonly TaskStatus[]).includes(to))
  ) {
    throw new Error(`the machine has no ${verb} from ${task.status} to ${to}`);
  }
  task.status = to;
  return to;
};

const end = (attempt: ModelAttempt, verb: keyof typeof attemptMachine.edges, state: AttemptState): void => {
  if (!can(attemptMachine, verb, attempt.state))
    throw new Error(`the machine has no ${verb} of a ${attempt.state} attempt`);
  attempt.state = state;
};

const queued = (task: ModelTask): TaskStatus => (task.assigned === null ? 'inbox' : 'assigned');

/** The claim is over without a result: back to the queue, or to an end. */
const giveBack = (
  task: ModelTask,
  verb: TaskVerb,
  counter: 'dispatch_attempts' | 'stale_requeues' | null,
  final: boolean,
): TaskStatus => {
  if (counter !== null) task[counter] += 1;
  const exhausted =
    final || task.attempts >= taskLimits.attempts || (counter !== null && task[counter] >= taskLimits[counter]);
  task.claimed_by = null;
  return move(task, verb, task.cancel_requested ? 'cancelled' : exhausted ? 'failed' : queued(task));
};

/** Which tasks an agent gets, in claim order; all have the same priority, so the oldest come first. */
export const claimable = (model: Model, agent: ModelAgent, slots: number): ModelTask[] => {
  if (agent.draining) return [];
  const used = model.attempts.filter((attempt) => attempt.agent === agent.id && isLive(attempt)).length;
  const free = Math.max(0, Math.min(slots, agent.slots - used));
  return [...model.tasks.values()]
    .filter((task) => can(taskMachine, 'claim', task.status) && (task.assigned === null || task.assigned === agent.id))
    .toSorted((a, b) => a.id - b.id)
    .slice(0, free);
};

export const claim = (
  model: Model,
  agent: ModelAgent,
  task: ModelTask,
  epoch: number,
  claim_id: string,
): ModelAttempt => {
  if (epoch <= model.highest_epoch) throw new Error(`epoch ${epoch} is not above ${model.highest_epoch}`);
  model.highest_epoch = epoch;
  move(task, 'claim', 'in_progress');
  Object.assign(task, { epoch, claimed_by: agent.id, attempts: task.attempts + 1 });
  const attempt: ModelAttempt = {
    task: task.id,
    agent: agent.id,
    epoch,
    claim_id,
    state: 'claimed',
    report: null,
    late: null,
    expires_at: model.now + LEASE_MS,
    renewable_until: model.now + TIMEOUT_S * 1000 + KILL_GRACE_MS + LEASE_MS,
    held_until: null,
    told: false,
  };
  model.attempts.push(attempt);
  return attempt;
};

/** What a beat answers for one attempt that the host says it holds. */
export const renew = (model: Model, attempt: ModelAttempt): 'renewed' | 'lost' | 'cancel' => {
  if (!isLive(attempt)) return 'lost';
  const promised = Math.min(model.now + LEASE_MS, attempt.renewable_until);
  if (!attempt.told || attempt.held_until !== null || attempt.expires_at < promised)
    attempt.expires_at = Math.max(
      attempt.expires_at,
      Math.min(model.now + LEASE_MS + STEP_MS, attempt.renewable_until),
    );
  attempt.told = true;
  attempt.held_until = null;
  return taskOf(model, attempt.task).cancel_requested ? 'cancel' : 'renewed';
};

/** 'ok' with the task's status, or late: kept as evidence, the task untouched. */
export type Judged = { accepted: true; status: TaskStatus } | { accepted: false };

export const start = (attempt: ModelAttempt): boolean => {
  if (!isLive(attempt)) return false;
  end(attempt, 'start', 'running');
  return true;
};

export const complete = (model: Model, attempt: ModelAttempt, report: string): Judged => {
  const task = taskOf(model, attempt.task);
  if (attempt.report === report) return { accepted: true, status: task.status };
  const latest_unclaimed =
    !isLive(attempt) &&
    attempt.report === null &&
    task.epoch === attempt.epoch &&
    can(taskMachine, 'claim', task.status) &&
    can(attemptMachine, 'complete', attempt.state);
  if (!isLive(attempt) && !latest_unclaimed) {
    attempt.late ??= report;
    return { accepted: false };
  }
  end(attempt, 'complete', 'completed');
  attempt.report = report;
  task.claimed_by = null;
  return { accepted: true, status: move(task, 'complete', task.review === 'human' ? 'review' : 'done') };
};

export const fail = (
  model: Model,
  attempt: ModelAttempt,
  report: string,
  how: { retryable: boolean; cancelled: boolean },
): Judged => {
  const task = taskOf(model, attempt.task);
  if (attempt.report === report) return { accepted: true, status: task.status };
  if (!isLive(attempt)) {
    attempt.late ??= report;
    return { accepted: false };
  }
  const confirmed = how.cancelled && task.cancel_requested;
  end(attempt, confirmed ? 'cancel' : 'fail', confirmed ? 'cancelled' : 'failed');
  attempt.report = report;
  const status = giveBack(
    task,
    confirmed ? 'report_cancelled' : 'fail',
    how.retryable ? 'dispatch_attempts' : null,
    !how.retryable,
  );
  return { accepted: true, status };
};

export const unclaim = (model: Model, attempt: ModelAttempt): boolean => {
  if (attempt.state === 'released') return true;
  if (!isLive(attempt)) return false;
  end(attempt, 'release', 'released');
  giveBack(taskOf(model, attempt.task), 'unclaim', null, false);
  return true;
};

export const cancel = (task: ModelTask): boolean => {
  if (!can(taskMachine, 'cancel', task.status)) return false;
  task.cancel_requested = true;
  move(task, 'cancel', task.status === 'in_progress' ? 'in_progress' : 'cancelled');
  return true;
};

export const retry = (task: ModelTask): boolean => {
  if (!can(taskMachine, 'retry', task.status)) return false;
  move(task, 'retry', queued(task));
  Object.assign(task, { attempts: 0, dispatch_attempts: 0, stale_requeues: 0, rejections: 0, cancel_requested: false });
  return true;
};

export const release = (model: Model, task: ModelTask): boolean => {
  const live = model.attempts.find((attempt) => attempt.task === task.id && isLive(attempt));
  if (live === undefined) return false;
  end(live, 'expire', 'lost');
  // Held for a lost host: nobody runs it a second time by releasing it.
  const held = live.held_until !== null;
  giveBack(task, held ? 'expire' : 'unclaim', held ? 'stale_requeues' : null, held);
  return true;
};

export const judge = (task: ModelTask, verdict: 'approve' | 'reject'): boolean => {
  if (!can(taskMachine, verdict, task.status)) return false;
  if (verdict === 'approve') move(task, 'approve', 'done');
  else {
    task.rejections += 1;
    task.cancel_requested = false;
    move(task, 'reject', task.rejections >= taskLimits.rejections ? 'failed' : queued(task));
  }
  return true;
};

/** One pass of expiry. */
export const expire = (model: Model): void => {
  for (const attempt of model.attempts.filter(isLive)) {
    if (attempt.expires_at + GRACE_MS >= model.now) continue;
    const task = taskOf(model, attempt.task);
    const held = attempt.held_until !== null;
    if (held && (attempt.held_until ?? 0) >= model.now && !task.cancel_requested) continue;
    if (task.on_host_loss === 'hold' && !held && !task.cancel_requested) {
      attempt.held_until = model.now + HOLD_MS;
      continue;
    }
    end(attempt, 'expire', 'lost');
    giveBack(task, 'expire', 'stale_requeues', task.on_host_loss === 'hold');
  }
};

export const hasEnded = (task: ModelTask): boolean => isTerminal(taskMachine, task.status);
