import { z } from 'zod';

import { taskStatuses } from '../states/task.ts';
import { Count, Id, IdParam, IdParams, Int32, Name, openEnum, StorableJson, Tag, text, Timestamp } from './common.ts';
import { route } from './route.ts';
import { Epoch, logStreams } from './task.ts';

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
  seq: Count.min(1),
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
  result: StorableJson.optional(),
  exit_code: Int32.nullish(),
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
  retry_after_s: z
    .int()
    .min(0)
    .max(7 * 86_400)
    .optional(),
  exit_code: Int32.nullish(),
  session_id: text(200).nullish(),
  /** What the executor printed as its result, when there was any. */
  output: text(1_000_000).optional(),
  usage: UsageReport.optional(),
  log_sizes: LogSizes.default({}),
});
export type FailTask = z.infer<typeof FailTask>;

export const AskPerson = z.object({
  epoch: Epoch,
  /** What a person must decide or say; the next attempt reads it with the answer. */
  question: text(10_000).refine((value) => value.trim() !== '', 'must not be blank'),
  session_id: text(200).nullish(),
  usage: UsageReport.optional(),
  log_sizes: LogSizes.default({}),
});

/**
 * Why a queue poll answered what it did. `holding`: there is nothing new, go on with what you hold. An older client must
 * not choke on a reason of a newer coordinator.
 */
export const queueReasons = [
  'assigned',
  'at_capacity',
  'no_tasks_available',
  'draining',
  'disabled',
  'paused',
  'holding',
] as const;
export type QueueReason = (typeof queueReasons)[number];

export const QueueAnswer = z.object({
  task: ClaimedTask.nullable(),
  reason: openEnum(queueReasons),
  /** Everything the agent holds now, the task of this answer included: whoever lost an answer finds its epoch here. */
  holding: z.array(z.object({ id: Id, epoch: Epoch, lease_expires_at: Timestamp })),
});
export type QueueAnswer = z.infer<typeof QueueAnswer>;

const asAgent = { tag: 'agent protocol', permission: 'attempt:run', audience: 'agent', params: IdParams } as const;
const fenced = ['lease_lost', 'task_gone', 'not_found'] as const;

/** The agent's side of a task: claim it, work on it, report. */
export const workRoutes = {
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
      claim_id: text(100).min(1).optional(),
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
      claim_id: text(100).min(1).optional(),
    }),
    status: 200,
    output: z.object({ tasks: z.array(ClaimedTask) }),
    errors: ['agent_gone', 'instance_conflict'],
  }),
  queue: route({
    method: 'GET',
    path: '/tasks/queue',
    tag: 'agent protocol',
    summary: 'Poll the queue for one task, without a daemon: {task, reason, holding}',
    description:
      'At most `max_capacity` tasks at a time (default: the slots of the agent), counted together with what its daemon runs. The lease of a polled task lasts 10 minutes; only calls that name the task and its epoch (start, log, usage, progress) renew it. With a person’s token `agent` says for whom; a name nobody has is registered as an agent that only polls. The `attempt_token` of the answer opens these calls for this one task.',
    permission: 'queue:poll',
    audience: 'agent',
    query: z.object({
      agent: Name.optional(),
      max_capacity: z.coerce.number().pipe(z.int().min(1).max(1024)).optional(),
    }),
    status: 200,
    output: QueueAnswer,
    errors: ['agent_gone', 'not_found', 'name_taken', 'invalid_input'],
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
    body: z.object({
      epoch: Epoch,
      reason: text(500),
      retry_after_s: z
        .int()
        .min(0)
        .max(7 * 86_400)
        .optional(),
      log_sizes: LogSizes.default({}),
    }),
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
  progress: route({
    ...asAgent,
    permission: 'attempt:report',
    method: 'POST',
    path: '/tasks/:id/progress',
    summary: 'Say how far it is; the answer says whether the task should stop',
    body: z.object({
      epoch: Epoch,
      percent: z.number().min(0).max(100).optional(),
      message: text(500).optional(),
    }),
    status: 200,
    output: z.object({ cancel_requested: z.boolean(), lease_expires_at: Timestamp }),
    errors: fenced,
  }),
  usage: route({
    ...asAgent,
    permission: 'attempt:report',
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
  ask: route({
    ...asAgent,
    permission: 'attempt:report',
    method: 'POST',
    aliases: ['PATCH'],
    path: '/tasks/:id/ask',
    summary: 'End the attempt with a question to a person; an answering comment starts the next attempt',
    description:
      'Counts as nothing but one of the 25 attempts a task gets at most. The question becomes a comment; until a person answers, nobody can claim the task. The next prompt quotes the questions and answers so far. The token of an attempt ends with it: whoever repeats the call for a lost answer uses the agent’s.',
    body: AskPerson,
    status: 200,
    output: z.object({ status: z.enum(taskStatuses) }),
    errors: fenced,
  }),
};
