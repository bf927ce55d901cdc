import { z } from 'zod';

import { attemptStates } from '../states/attempt.ts';
import { taskStatuses } from '../states/task.ts';
import { Id, Metadata, Name, Tag, Tags, text, Timestamp, TimestampInput } from './common.ts';

/** In claim order. */
export const priorities = ['critical', 'high', 'medium', 'low'] as const;
export type Priority = (typeof priorities)[number];

/**
 * What happens when a task's host falls silent: requeue (work is never killed by absence) · fence (the host kills it
 * before anyone else may start) · hold (waits up to 24 h for the host or an operator's release, then fails).
 */
export const onHostLoss = ['requeue', 'fence', 'hold'] as const;
export type OnHostLoss = (typeof onHostLoss)[number];

export const reviewPolicies = ['auto', 'human', 'none'] as const;
export const logStreams = ['stdout', 'stderr'] as const;
export type LogStream = (typeof logStreams)[number];

export const Epoch = z.int().positive();

export const waitingCodes = [
  'ready',
  'paused',
  'backlog',
  'answer',
  'deferred',
  'not_before',
  'concurrency_key',
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
  start_by: Timestamp.nullable(),
  concurrency_key: z.string().nullable(),
  concurrency_limit: z.int(),
  deferred_until: Timestamp.nullable(),
  on_host_loss: z.enum(onHostLoss),
  review: z.enum(reviewPolicies),
  metadata: z.record(z.string(), z.unknown()),
  attempts: z.int(),
  dispatch_attempts: z.int(),
  stale_requeues: z.int(),
  rejections: z.int(),
  /** What the last rejection said; the next attempt reads it in its prompt. */
  feedback: z.string().nullable(),
  /** The comment with the question that it waits for an answer to, and its text. */
  asked_comment_id: Id.nullable(),
  question: z.string().nullable(),
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
  /** What it last said about how far it is. */
  progress: z.object({ percent: z.number().nullable(), message: z.string().nullable(), at: Timestamp }).nullable(),
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
  timeout_s: z
    .int()
    .min(1)
    .max(7 * 86_400),
  not_before: TimestampInput.nullable(),
  /** It fails when it has not started by then. */
  start_by: TimestampInput.nullable(),
  /** Of the tasks of one key at most `concurrency_limit` (default 1) run at a time in the workspace. */
  concurrency_key: text(200).min(1).nullable(),
  concurrency_limit: z.int().min(1).max(10_000),
  on_host_loss: z.enum(onHostLoss),
  review: z.enum(reviewPolicies),
  metadata: Metadata,
};

export const Title = text(500).refine((value) => value.trim() !== '', 'must not be blank');

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
