import {
  Attachment,
  Activity,
  Agent,
  ApiToken,
  Attempt,
  AuditEvent,
  Comment,
  Event,
  JoinToken,
  Review,
  StatusReport,
  Task,
} from '@flotilla/shared';

const AT = '2030-01-01T00:00:00.000Z';

// Each row goes through its schema: when the contract grows a field, these tests say so.
export const aTask = (fields: Partial<Task> = {}): Task => {
  const id = fields.id ?? 12;
  return Task.parse({
    id,
    ref: `TASK-${id}`,
    title: 'Say hello',
    description: '',
    status: 'inbox',
    status_sentence: 'Waiting for any eligible agent.',
    priority: 'medium',
    due_date: null,
    tags: [],
    required_tags: [],
    assigned_to: null,
    assigned_agent_id: null,
    claimed_by_agent_id: null,
    claimed_by: null,
    epoch: null,
    lease_expires_at: null,
    executor: null,
    model: null,
    timeout_s: 3600,
    not_before: null,
    start_by: null,
    concurrency_key: null,
    concurrency_limit: 1,
    deferred_until: null,
    on_host_loss: 'requeue',
    review: 'none',
    metadata: {},
    attempts: 0,
    dispatch_attempts: 0,
    stale_requeues: 0,
    rejections: 0,
    feedback: null,
    asked_comment_id: null,
    question: null,
    resolution: null,
    result: null,
    failure: null,
    cost_usd_micros: null,
    input_tokens: 0,
    output_tokens: 0,
    waiting_for: null,
    cancel_requested_at: null,
    created_by: 'api_token 1',
    created_at: AT,
    updated_at: AT,
    started_at: null,
    completed_at: null,
    version: 1,
    ...fields,
  });
};

export const running = (fields: Partial<Task> = {}): Task =>
  aTask({
    status: 'in_progress',
    status_sentence: 'An agent holds it.',
    epoch: 7,
    attempts: 1,
    claimed_by: 'scout',
    claimed_by_agent_id: 3,
    ...fields,
  });

export const anAgent = (fields: Partial<Agent> = {}): Agent =>
  Agent.parse({
    id: 3,
    name: 'scout',
    kind: 'daemon',
    role: 'agent',
    status: 'online',
    status_sentence: 'Beats and takes work.',
    eligibility: 'eligible',
    eligibility_generation: 1,
    drain: null,
    drained: false,
    hostname: 'host-3',
    host_uid: null,
    platform: 'linux-x64',
    version: '0.1.0',
    tags: ['linux'],
    reported_tags: [],
    metadata: {},
    executors: ['command'],
    slots: 2,
    slots_ceiling: 32,
    slots_used: 0,
    isolation: 'none',
    observed: {},
    last_heartbeat_at: AT,
    disabled_at: null,
    created_at: AT,
    updated_at: AT,
    row_version: 4,
    ...fields,
  });

export const draining = (fields: Partial<Agent> = {}): Agent =>
  anAgent({
    status: 'draining',
    eligibility: 'ineligible',
    drain: { generation: 2, deadline: null, on_deadline: 'wait', reason: null, requested_at: AT },
    slots_used: 1,
    ...fields,
  });

export const anActivity = (fields: Partial<Activity> = {}): Activity =>
  Activity.parse({
    at: AT,
    type: 'task.create',
    who: 'token:ci',
    agent: null,
    attempt: null,
    comment_id: null,
    text: null,
    details: {},
    ...fields,
  });

export const aComment = (fields: Partial<Comment> = {}): Comment =>
  Comment.parse({
    id: 7,
    task_id: 12,
    reply_to: null,
    question: false,
    author: 'token:ci',
    agent: null,
    text: 'Looks good.',
    mentions: [],
    created_at: AT,
    edited_at: null,
    deleted_at: null,
    ...fields,
  });

export const aReview = (fields: Partial<Review> = {}): Review =>
  Review.parse({
    id: 2,
    task_id: 12,
    attempt: 1,
    verdict: 'rejected',
    feedback: 'not yet',
    comment_id: 7,
    reviewer: 'token:ci',
    created_at: '2020-01-01T00:00:00.000Z',
    ...fields,
  });

export const anAttachment = (fields: Partial<Attachment> = {}): Attachment =>
  Attachment.parse({
    id: 3,
    task_id: 12,
    attempt: 1,
    agent: 'scout',
    name: 'report.txt',
    content_type: 'text/plain',
    size: 6,
    sha256: '0'.repeat(64),
    created_at: AT,
    ...fields,
  });

export const anAttempt = (fields: Partial<Attempt> = {}): Attempt =>
  Attempt.parse({
    id: 40,
    task_id: 12,
    number: 1,
    agent_id: 3,
    agent: 'scout',
    epoch: 7,
    state: 'completed',
    phase: null,
    progress: null,
    executor: 'command',
    session_id: null,
    exit_code: 0,
    failure: null,
    late_result: null,
    log: { stdout: { size: 6, final_size: 6, truncated: false } },
    input_tokens: 0,
    output_tokens: 0,
    cost_usd_micros: null,
    claimed_at: AT,
    started_at: AT,
    ended_at: AT,
    ...fields,
  });

export const aJoinToken = (fields: Partial<JoinToken> = {}): JoinToken =>
  JoinToken.parse({
    id: 5,
    tags: [],
    role: 'agent',
    slots: 4,
    name_pattern: null,
    expires_at: AT,
    used_at: null,
    used_by_agent_id: null,
    revoked_at: null,
    created_by: 'api_token 1',
    created_at: AT,
    ...fields,
  });

export const anApiToken = (fields: Partial<ApiToken> = {}): ApiToken =>
  ApiToken.parse({
    id: 9,
    name: 'ci',
    role: 'operator',
    expires_at: null,
    last_used_at: null,
    revoked_at: null,
    created_by: 'api_token 1',
    created_at: AT,
    ...fields,
  });

export const anAuditEvent = (fields: Partial<AuditEvent> = {}): AuditEvent =>
  AuditEvent.parse({
    id: 1,
    seq: 1,
    principal: 'api_token 1',
    action: 'task.create',
    entity: 'task',
    entity_id: 12,
    details: {},
    request_id: 'req-1',
    at: AT,
    hash: 'abc',
    ...fields,
  });

export const anEvent = (seq: number, fields: Partial<Event> = {}): Event =>
  Event.parse({
    seq,
    type: 'task.created',
    entity_id: 12,
    version: 1,
    workspace_id: 1,
    summary: { status: 'inbox' },
    at: AT,
    ...fields,
  });

export const aStatus = (): StatusReport =>
  StatusReport.parse({
    version: '0.1.0',
    workspace: 'main',
    pause: null,
    expiry: { suspended: null, silent: 0, counted: 2 },
    agents: { online: 2, offline: 0 },
    tasks: { inbox: 3 },
    slots: { total: 4, used: 1 },
    waiting: { no_agents: 3 },
  });
