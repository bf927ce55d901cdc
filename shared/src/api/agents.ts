import { z } from 'zod';

import { agentStatuses } from '../states/agent.ts';
import {
  commaList,
  Count,
  Id,
  IdParams,
  Metadata,
  Name,
  NextCursor,
  openEnum,
  PageQuery,
  Tag,
  Tags,
  text,
  Timestamp,
} from './common.ts';
import { route } from './route.ts';
import { agentRoles } from './tokens.ts';

export const onDeadline = ['wait', 'requeue', 'kill'] as const;
export type OnDeadline = (typeof onDeadline)[number];

/** Every duration an agent needs, in milliseconds; the coordinator's configuration decides. */
export const Timings = z.object({
  heartbeat_ms: z.int(),
  suspect_ms: z.int(),
  lost_ms: z.int(),
  lease_ms: z.int(),
  requeue_grace_ms: z.int(),
  /** Longest wait of a parked claim. */
  claim_wait_s: z.int(),
  /** How long to wait before claiming, so that a returning fleet spreads; 0 in normal service. */
  reconnect_delay_ms: z.int(),
  /** Over how long those who wait here should come back when the coordinator vanishes: it grows with their number. */
  return_spread_ms: z.int().optional(),
});
export type Timings = z.infer<typeof Timings>;

export const Drain = z.object({
  generation: z.int(),
  deadline: Timestamp.nullable(),
  on_deadline: z.enum(onDeadline),
  reason: z.string().nullable(),
  requested_at: Timestamp,
});
export type Drain = z.infer<typeof Drain>;

export const Agent = z.object({
  id: Id,
  name: z.string(),
  kind: z.enum(['daemon', 'poll']),
  role: z.enum(agentRoles),
  /** Derived from facts: disabled, offline (no beat for `lost_ms`), draining, online. */
  status: z.enum(agentStatuses),
  status_sentence: z.string(),
  eligibility: z.enum(['eligible', 'ineligible']),
  eligibility_generation: z.int(),
  drain: Drain.nullable(),
  /** True once a drain has nothing left to wait for. */
  drained: z.boolean(),
  hostname: z.string().nullable(),
  host_uid: z.string().nullable(),
  platform: z.string().nullable(),
  version: z.string().nullable(),
  /** Scheduling tags, from the join token or an admin. */
  tags: z.array(z.string()),
  /** What the host says about itself: shown, never matched. */
  reported_tags: z.array(z.string()),
  metadata: z.record(z.string(), z.unknown()),
  executors: z.array(z.string()),
  slots: z.int(),
  slots_ceiling: z.int(),
  slots_used: z.int(),
  isolation: z.string().nullable(),
  observed: z.record(z.string(), z.unknown()),
  last_heartbeat_at: Timestamp.nullable(),
  disabled_at: Timestamp.nullable(),
  created_at: Timestamp,
  updated_at: Timestamp,
  row_version: z.int(),
});
export type Agent = z.infer<typeof Agent>;

/** What a host says about itself at registration. */
export const HostReport = z.object({
  name: Name,
  hostname: text(255).optional(),
  host_uid: text(255).optional(),
  platform: text(100).optional(),
  version: text(100).optional(),
  tags: Tags.optional(),
  metadata: Metadata.optional(),
  slots: z.int().min(0).max(1024).optional(),
  executors: z.array(Tag).max(16).optional(),
});

export const RegisterByHost = z.object({
  join_token: z.string().min(1).max(500),
  agent: HostReport,
  /** Hex SHA-256 of a secret the host made itself: a lost answer then never strands it. */
  agent_token_sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'use 64 lower-case hex digits')
    .optional(),
});
export const RegisterByUser = z.object({ name: Name, role: z.enum(agentRoles).default('agent') });

export const Registration = z.object({
  agent: Agent,
  /** Only when the coordinator made the secret, and only once. */
  agent_token: z.string().optional(),
  timings: Timings,
});

export const attemptPhases = ['claimed', 'running', 'exited', 'reporting'] as const;
export const HeldAttempt = z.object({ task_id: Id, epoch: Id, phase: openEnum(attemptPhases) });

export const beatStates = ['running', 'draining', 'drained', 'detached'] as const;

/** Observed state, up. Every attempt the host still holds is in it: an attempt left out is not renewed, nothing more. */
export const Beat = z.object({
  instance_id: text(100).min(1),
  boot_id: text(100).optional(),
  machine_id: text(100).optional(),
  seq: z.int().min(0),
  state: openEnum(beatStates).default('running'),
  version: text(100).optional(),
  platform: text(100).optional(),
  slots: z.int().min(0).max(1024).optional(),
  executors: z.array(Tag).max(16).optional(),
  isolation: text(100).optional(),
  eligibility_generation: Count.default(0),
  attempts: z.array(HeldAttempt).max(1024).default([]),
  outbox: z.object({ pending: z.int(), dead: z.int(), held: z.boolean() }).optional(),
  resources: z.record(text(100), z.number()).optional(),
});
export type Beat = z.infer<typeof Beat>;

/** `lost` and `cancel` are orders; omission never is. */
export const AttemptVerdict = z.object({
  task_id: Id,
  epoch: Id,
  verdict: openEnum(['renewed', 'lost', 'cancel']),
  lease_ms: z.int().nullable(),
});
export type AttemptVerdict = z.infer<typeof AttemptVerdict>;

/** Desired state, down. Level-triggered: the host applies a generation once and reports it in the next beat. */
export const BeatAnswer = z.object({
  agent: z.object({ id: Id, name: z.string(), status: z.enum(agentStatuses) }),
  eligibility: openEnum(['eligible', 'ineligible']),
  eligibility_generation: z.int(),
  drain: z
    .object({
      generation: z.int(),
      /** Milliseconds until the deadline by the coordinator's clock; null means none. */
      remaining_ms: z.int().nullable(),
      deadline: Timestamp.nullable(),
      on_deadline: openEnum(onDeadline),
    })
    .nullable(),
  restart_generation: z.int(),
  token_generation: z.int(),
  /** Version the host should run; null leaves it as it is. */
  version: z.string().nullable(),
  commands: z.array(z.record(z.string(), z.unknown())),
  attempts: z.array(AttemptVerdict),
  timings: Timings,
  /** The same order for older clients. */
  desired_state: z.object({ action: z.string() }),
});
export type BeatAnswer = z.infer<typeof BeatAnswer>;

export const PatchAgent = z.strictObject({
  name: Name.optional(),
  tags: Tags.optional(),
  role: z.enum(agentRoles).optional(),
  slots_ceiling: z.int().min(0).max(1024).optional(),
  metadata: Metadata.optional(),
  /** True switches the agent off at once: no claims, beats are refused work; false switches it on again. */
  disabled: z.boolean().optional(),
});

export const DrainAgent = z.strictObject({
  /** Seconds running tasks get; without it there is no deadline. */
  deadline_s: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .optional(),
  /** wait: let them finish however long · requeue: stop them and hand them back · kill: the same without a grace time. */
  on_deadline: z.enum(onDeadline).default('wait'),
  reason: text(500).optional(),
});
export type DrainAgent = z.infer<typeof DrainAgent>;

export const idleCodes = [
  'working',
  'at_capacity',
  'disabled',
  'offline',
  'draining',
  'paused',
  'no_tasks',
  'tasks_need_more',
  'tasks_deferred',
  'ready',
] as const;

/** Why an agent gets no work now, and what would change that. `nearest` is the task that comes closest. */
export const WhyIdle = z.object({
  code: z.enum(idleCodes),
  message: z.string(),
  slots: z.int(),
  slots_used: z.int(),
  /** Queued tasks of the workspace by what stands between them and this agent; `claimable` are those it may have. */
  tasks: z.record(z.string(), z.int()),
  nearest: z.object({ task_id: Id, missing: z.string() }).nullable(),
});
export type WhyIdle = z.infer<typeof WhyIdle>;

export const agentRoutes = {
  register: route({
    method: 'POST',
    path: '/agents/register',
    tag: 'agents',
    summary: 'Join the fleet with a one-time token, or register an agent without a daemon with a user token',
    description:
      'One conditional update consumes the join token: of many concurrent uses one wins. The same join token with the same agent_token_sha256 answers again.',
    permission: 'public',
    audience: 'agent',
    body: z.union([RegisterByHost, RegisterByUser]),
    status: 201,
    repeatable: true,
    output: Registration,
    once_only: ['agent_token'],
    errors: ['join_token_invalid', 'name_taken', 'unauthenticated', 'forbidden'],
  }),
  heartbeat: route({
    method: 'POST',
    path: '/agents/:id/heartbeat',
    tag: 'agents',
    summary: 'Report observed state, renew leases, receive desired state',
    permission: 'agent:self',
    audience: 'agent',
    params: IdParams,
    body: Beat,
    status: 200,
    output: BeatAnswer,
    errors: ['instance_conflict', 'agent_gone', 'not_found'],
  }),
  list: route({
    method: 'GET',
    path: '/agents',
    tag: 'agents',
    summary: 'List agents, newest first',
    permission: 'agents:read',
    audience: 'person',
    query: PageQuery.extend({ status: commaList(z.enum(agentStatuses)).optional(), tag: Tag.optional() }),
    status: 200,
    output: z.object({ agents: z.array(Agent), next_cursor: NextCursor }),
    errors: [],
  }),
  get: route({
    method: 'GET',
    path: '/agents/:id',
    tag: 'agents',
    summary: 'Show an agent',
    permission: 'agents:read',
    audience: 'person',
    params: IdParams,
    status: 200,
    output: Agent,
    errors: ['not_found'],
  }),
  patch: route({
    method: 'PATCH',
    aliases: ['PUT'],
    path: '/agents/:id',
    tag: 'agents',
    summary: 'Change an agent; takes the fields bare or wrapped in {"agent": …}',
    permission: 'agents:admin',
    audience: 'person',
    params: IdParams,
    body: PatchAgent,
    status: 200,
    output: Agent,
    errors: ['not_found', 'name_taken', 'version_mismatch'],
  }),
  drain: route({
    method: 'POST',
    aliases: ['PATCH'],
    path: '/agents/:id/drain',
    tag: 'agents',
    summary: 'Stop new work for an agent; no claim commits after this answer',
    permission: 'agents:operate',
    audience: 'person',
    params: IdParams,
    body: DrainAgent,
    status: 200,
    output: Agent,
    errors: ['not_found'],
  }),
  resume: route({
    method: 'POST',
    aliases: ['PATCH'],
    path: '/agents/:id/resume',
    tag: 'agents',
    summary: 'Let an agent take work again; clears only the generation it names, or the current one',
    permission: 'agents:operate',
    audience: 'person',
    params: IdParams,
    body: z.strictObject({ generation: Count.optional() }),
    status: 200,
    output: Agent,
    errors: ['not_found', 'version_mismatch'],
  }),
  whyIdle: route({
    method: 'GET',
    path: '/agents/:id/why-idle',
    tag: 'agents',
    summary: 'Say why an agent gets no work now',
    permission: 'agents:read',
    audience: 'person',
    params: IdParams,
    status: 200,
    output: WhyIdle,
    errors: ['not_found'],
  }),
  delete: route({
    method: 'DELETE',
    path: '/agents/:id',
    tag: 'agents',
    summary: 'Delete an agent that runs nothing; its token dies with it',
    permission: 'agents:admin',
    audience: 'person',
    params: IdParams,
    status: 204,
    output: 'none',
    errors: ['not_found', 'agent_busy'],
  }),
};
