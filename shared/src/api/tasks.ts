import { z } from 'zod';

import { attemptStates } from '../states/attempt.ts';
import { taskStatuses } from '../states/task.ts';
import {
  commaList,
  Id,
  IdParam,
  IdParams,
  Json,
  Metadata,
  Name,
  NextCursor,
  PageQuery,
  QueryFlag,
  Tag,
  Tags,
  text,
  Timestamp,
  TimestampInput,
} from './common.ts';
import { route } from './route.ts';

/** In claim order. */
export const priorities = ['critical', 'high', 'medium', 'low'] as const;
export type Priority = (typeof priorities)[number];

/**
 * What happens when a task's host falls silent: requeue (work is never killed by absence) · fence (the host kills it
 * before anyone else may start) · hold (waits up to 24 h for the host or an operator).
 */
export const onHostLoss = ['requeue', 'fence', 'hold'] as const;
export type OnHostLoss = (typeof onHostLoss)[number];

export const reviewPolicies = ['auto', 'human', 'none'] as const;
export const logStreams = ['stdout', 'stderr'] as const;
export type LogStream = (typeof logStreams)[number];

export const Epoch = z.int().positive();

export const waitingCodes = [
  'ready',
  'backlog',
  'deferred',
  'not_before',
  'unknown_agent',
  'agent_disabled',
  'agent_draining',
  'agent_offline',
  'agent_at_capacity',
  'no_agents',
  'executor',
  'tags',
  'all_disabled',
  'all_draining',
  'all_offline',
  'at_capacity',
] as const;
export type WaitingCode = (typeof waitingCodes)[number];

/** Why a queued task is not running, true within 5 s of its cause. `nearest` names the agent that comes closest. */
export const WaitingFor = z.object({
  code: z.enum(waitingCodes),
  message: z.string(),
  nearest: z.object({ agent: z.string(), missing: z.string() }).nullable(),
});
export type WaitingFor = z.infer<typeof WaitingFor>;

export const Failure = z.object({ kind: z.string(), message: z.string() });

export const Task = z.object({
  id: Id,
  ref: z.string(),
  title: z.string(),
  description: z.string(),
  status: z.enum(taskStatuses),
  /** "cancelling" and the like: one sentence for people. */
  status_sentence: z.string(),
  priority: z.enum(priorities),
  due_date: Timestamp.nullable(),
  tags: z.array(z.string()),
  required_tags: z.array(z.string()),
  assigned_to: z.string().nullable(),
  assigned_agent_id: Id.nullable(),
  claimed_by_agent_id: Id.nullable(),
  claimed_by: z.string().nullable(),
  epoch: Epoch.nullable(),
  lease_expires_at: Timestamp.nullable(),
  executor: z.string().nullable(),
  model: z.string().nullable(),
  timeout_s: z.int(),
  not_before: Timestamp.nullable(),
  deferred_until: Timestamp.nullable(),
  on_host_loss: z.enum(onHostLoss),
  review: z.enum(reviewPolicies),
  metadata: z.record(z.string(), z.unknown()),
  attempts: z.int(),
  dispatch_attempts: z.int(),
  stale_requeues: z.int(),
  rejections: z.int(),
  resolution: z.string().nullable(),
  result: z.unknown(),
  failure: Failure.nullable(),
  /** Null when no attempt reported a price: unpriced, never $0. */
  cost_usd_micros: z.int().nullable(),
  input_tokens: z.int(),
  output_tokens: z.int(),
  waiting_for: WaitingFor.nullable(),
  cancel_requested_at: Timestamp.nullable(),
  created_by: z.string(),
  created_at: Timestamp,
  updated_at: Timestamp,
  started_at: Timestamp.nullable(),
  completed_at: Timestamp.nullable(),
  version: z.int(),
});
export type Task = z.infer<typeof Task>;

export const Attempt = z.object({
  id: Id,
  task_id: Id,
  number: z.int(),
  agent_id: Id,
  agent: z.string(),
  epoch: Epoch,
  state: z.enum(attemptStates),
  phase: z.string().nullable(),
  executor: z.string().nullable(),
  session_id: z.string().nullable(),
  exit_code: z.int().nullable(),
  failure: Failure.nullable(),
  /** A report that came after another attempt owned the task: kept as evidence, changes nothing. */
  late_result: z.unknown(),
  log: z.record(z.string(), z.object({ size: z.int(), final_size: z.int().nullable(), truncated: z.boolean() })),
  input_tokens: z.int(),
  output_tokens: z.int(),
  cost_usd_micros: z.int().nullable(),
  claimed_at: Timestamp,
  started_at: Timestamp.nullable(),
  ended_at: Timestamp.nullable(),
});
export type Attempt = z.infer<typeof Attempt>;

const editable = {
  description: text(262_144),
  priority: z.enum(priorities),
  due_date: TimestampInput.nullable(),
  tags: Tags,
  required_tags: Tags,
  /** Agent name; an unknown one is stored and binds when that name registers. */
  assigned_to: Name.nullable(),
  executor: Tag.nullable(),
  model: text(200).nullable(),
  /** Seconds one attempt may run before it is stopped; default one hour. */
  timeout_s: z.int().min(1).max(7 * 86_400),
  not_before: TimestampInput.nullable(),
  on_host_loss: z.enum(onHostLoss),
  review: z.enum(reviewPolicies),
  metadata: Metadata,
};

const Title = text(500).refine((value) => value.trim() !== '', 'must not be blank');

export const CreateTask = z.strictObject({
  title: Title,
  ...z.object(editable).partial().shape,
  /** `backlog` parks it; otherwise it is queued at once. */
  status: z.enum(['backlog', 'inbox']).optional(),
});
export type CreateTask = z.infer<typeof CreateTask>;

export const PatchTask = z.strictObject({
  title: Title.optional(),
  ...z.object(editable).partial().shape,
  /** Runs the verb of that edge with its checks: backlog, inbox, assigned, done (from review), cancelled. */
  status: z.enum(['backlog', 'inbox', 'assigned', 'done', 'cancelled']).optional(),
});
export type PatchTask = z.infer<typeof PatchTask>;

/** What an agent gets with a claim: all it needs to run, and the epoch that fences every later write. */
export const ClaimedTask = z.object({
  id: Id,
  ref: z.string(),
  kind: z.string(),
  title: z.string(),
  /** Title and description as the executor should read them; fixed for this attempt. */
  prompt: z.string(),
  epoch: Epoch,
  attempt_id: Id,
  attempt: z.int(),
  lease_ms: z.int(),
  timeout_s: z.int(),
  executor: z.string().nullable(),
  model: z.string().nullable(),
  on_host_loss: z.string(),
  attempt_token: z.string(),
  metadata: z.record(z.string(), z.unknown()),
});
export type ClaimedTask = z.infer<typeof ClaimedTask>;

export const UsageReport = z.object({
  /** Counts from 1 within the attempt; the same seq again changes nothing. */
  seq: z.int().min(1),
  /** cumulative: totals of the attempt so far · delta: since the last report. */
  mode: z.enum(['cumulative', 'delta']),
  model: text(200).nullish(),
  input_tokens: z.int().min(0),
  output_tokens: z.int().min(0),
  cache_read_tokens: z.int().min(0).default(0),
  cache_write_tokens: z.int().min(0).default(0),
  /** Null when the price is unknown. */
  cost_usd_micros: z.int().min(0).nullish(),
});
export type UsageReport = z.infer<typeof UsageReport>;

const LogSizes = z.object({ stdout: z.int().min(0), stderr: z.int().min(0) }).partial();

export const CompleteTask = z.object({
  epoch: Epoch,
  resolution: text(1_000_000),
  result: Json.optional(),
  exit_code: z.int().nullish(),
  session_id: text(200).nullish(),
  usage: UsageReport.optional(),
  /** Final sizes in bytes: log chunks of this attempt are accepted until then. */
  log_sizes: LogSizes.default({}),
});
export type CompleteTask = z.infer<typeof CompleteTask>;

export const FailTask = z.object({
  epoch: Epoch,
  /** True: try again with back-off; false: give up. */
  retryable: z.boolean(),
  /** A short machine word: timeout, exit_code, spawn, rate_limit, cancelled … `cancelled` confirms a cancel request. */
  kind: Tag,
  message: text(10_000),
  /** Seconds before it makes sense to try again (a provider's rate-limit reset). */
  retry_after_s: z.int().min(0).max(7 * 86_400).optional(),
  exit_code: z.int().nullish(),
  session_id: text(200).nullish(),
  /** What the executor printed as its result, when there was any. */
  output: text(1_000_000).optional(),
  usage: UsageReport.optional(),
  log_sizes: LogSizes.default({}),
});
export type FailTask = z.infer<typeof FailTask>;

const asAgent = { tag: 'agent protocol', permission: 'agent:run', audience: 'agent', params: IdParams } as const;
const fenced = ['lease_lost', 'task_gone', 'not_found'] as const;
const asPerson = { tag: 'tasks', audience: 'person', params: IdParams, status: 200, output: Task } as const;

export const taskRoutes = {
  create: route({
    method: 'POST',
    path: '/tasks',
    tag: 'tasks',
    summary: 'Create a task',
    permission: 'tasks:write',
    audience: 'person',
    body: CreateTask,
    status: 201,
    output: Task,
    errors: ['disk_full'],
    creates: true,
  }),
  list: route({
    method: 'GET',
    path: '/tasks',
    tag: 'tasks',
    summary: 'List tasks, newest first',
    permission: 'tasks:read',
    audience: 'person',
    query: PageQuery.extend({
      status: commaList(z.enum(taskStatuses)).optional(),
      priority: commaList(z.enum(priorities)).optional(),
      assigned_to: Name.optional(),
      claimed_by: Name.optional(),
      tag: Tag.optional(),
    }),
    status: 200,
    output: z.object({ tasks: z.array(Task), next_cursor: NextCursor }),
    errors: [],
  }),
  next: route({
    method: 'GET',
    path: '/tasks/next',
    tag: 'agent protocol',
    summary: 'Claim one task: 200 with it, or 204',
    description: 'Never accepts a cookie: a GET that claims must not be reachable from a web page.',
    permission: 'agent:run',
    audience: 'agent',
    query: z.object({
      wait: z.coerce.number().pipe(z.number().min(0).max(50)).default(0),
      claim_id: z.string().min(1).max(100).optional(),
    }),
    status: 200,
    output: ClaimedTask.nullable(),
    errors: ['agent_gone', 'instance_conflict'],
  }),
  claim: route({
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/claim',
    tag: 'agent protocol',
    summary: 'Claim up to `slots` tasks, waiting up to `wait_s` seconds for the first',
    description:
      'The same claim_id again answers the attempts of that claim that are still live and claims nothing more. A newer request of the same agent ends a parked one with an empty answer.',
    permission: 'agent:run',
    audience: 'agent',
    body: z.object({
      slots: z.int().min(1).max(1024),
      wait_s: z.number().min(0).max(50).default(0),
      claim_id: z.string().min(1).max(100).optional(),
    }),
    status: 200,
    output: z.object({ tasks: z.array(ClaimedTask) }),
    errors: ['agent_gone', 'instance_conflict'],
  }),
  get: route({
    ...asPerson,
    method: 'GET',
    path: '/tasks/:id',
    summary: 'Show a task',
    permission: 'tasks:read',
    errors: ['not_found'],
  }),
  patch: route({
    ...asPerson,
    method: 'PATCH',
    aliases: ['PUT'],
    path: '/tasks/:id',
    summary: 'Change a task; takes the fields bare or wrapped in {"task": …}',
    description: 'assigned_to, required_tags and executor are 409 while it runs; an attempt keeps the prompt it was given.',
    permission: 'tasks:write',
    body: PatchTask,
    errors: ['not_found', 'task_running', 'invalid_transition', 'version_mismatch'],
  }),
  delete: route({
    method: 'DELETE',
    path: '/tasks/:id',
    tag: 'tasks',
    summary: 'Delete a task that is not running',
    permission: 'tasks:write',
    audience: 'person',
    params: IdParams,
    status: 204,
    output: 'none',
    errors: ['not_found', 'task_running'],
  }),
  assign: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/assign',
    summary: 'Give a task to one agent by name',
    permission: 'tasks:write',
    body: z.strictObject({ assigned_to: Name }),
    errors: ['not_found', 'task_running', 'invalid_transition'],
  }),
  unassign: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/unassign',
    summary: 'Give a task back to any agent',
    permission: 'tasks:write',
    errors: ['not_found', 'task_running', 'invalid_transition'],
  }),
  cancel: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/cancel',
    summary: 'Cancel a task; of a running one the agent is asked, and the first terminal report wins',
    permission: 'tasks:write',
    body: z.strictObject({ reason: text(500).optional() }),
    errors: ['not_found', 'invalid_transition'],
  }),
  retry: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/retry',
    summary: 'Queue an ended task again; all its counters start anew',
    permission: 'tasks:write',
    errors: ['not_found', 'invalid_transition'],
  }),
  release: route({
    ...asPerson,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/release',
    summary: 'Take a running task away from its agent and queue it again (an operator decides that the host is gone)',
    permission: 'agents:operate',
    errors: ['not_found', 'invalid_transition'],
  }),
  attempts: route({
    method: 'GET',
    path: '/tasks/:id/attempts',
    tag: 'tasks',
    summary: 'List the attempts of a task, newest first',
    permission: 'tasks:read',
    audience: 'person',
    params: IdParams,
    query: PageQuery,
    status: 200,
    output: z.object({ attempts: z.array(Attempt), next_cursor: NextCursor }),
    errors: ['not_found'],
  }),
  readLog: route({
    method: 'GET',
    path: '/tasks/:id/log',
    tag: 'tasks',
    summary: 'Read the log of an attempt as text; follow=1 goes on until the attempt ends',
    description: 'Without `attempt` it is the newest one. Without `stream` both are given in order of arrival; `from` is a byte offset and needs one stream.',
    permission: 'tasks:read',
    audience: 'person',
    params: IdParams,
    query: z.object({
      attempt: IdParam.optional(),
      stream: z.enum(logStreams).optional(),
      from: z.coerce.number().pipe(z.int().min(0)).default(0),
      follow: QueryFlag.default(false),
    }),
    status: 200,
    output: 'text',
    errors: ['not_found'],
  }),
  start: route({
    ...asAgent,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/start',
    summary: 'The executor runs',
    body: z.object({ epoch: Epoch, executor: Tag.optional(), session_id: text(200).nullish() }),
    status: 204,
    output: 'none',
    errors: fenced,
  }),
  unclaim: route({
    ...asAgent,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/unclaim',
    summary: 'Hand a task back without a result; counts as nothing',
    body: z.object({ epoch: Epoch, reason: text(500), retry_after_s: z.int().min(0).max(7 * 86_400).optional(), log_sizes: LogSizes.default({}) }),
    status: 204,
    output: 'none',
    errors: fenced,
  }),
  log: route({
    ...asAgent,
    method: 'POST',
    path: '/tasks/:id/log',
    summary: 'Append a chunk of log; overlap is ignored, a gap is 409 with the wanted offset',
    query: z.object({
      epoch: IdParam,
      stream: z.enum(logStreams),
      offset: z.coerce.number().pipe(z.int().min(0)),
    }),
    body: 'bytes',
    max_bytes: 1_048_576,
    status: 200,
    output: z.object({ next_offset: z.int() }),
    errors: [...fenced, 'log_gap', 'body_too_large'],
  }),
  usage: route({
    ...asAgent,
    method: 'POST',
    path: '/tasks/:id/usage',
    summary: 'Report tokens and cost; idempotent by (attempt, seq)',
    body: UsageReport.extend({ epoch: Epoch }),
    status: 204,
    output: 'none',
    errors: fenced,
  }),
  complete: route({
    ...asAgent,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/complete',
    summary: 'Deliver a result',
    body: CompleteTask,
    status: 200,
    output: z.object({ status: z.enum(taskStatuses) }),
    errors: fenced,
  }),
  fail: route({
    ...asAgent,
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/fail',
    summary: 'Report a failure, or confirm a cancel with kind "cancelled"',
    body: FailTask,
    status: 200,
    output: z.object({ status: z.enum(taskStatuses) }),
    errors: fenced,
  }),
};
