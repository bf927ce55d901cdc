import type { ClaimedTask, LogStream, OnDeadline } from '@flotilla/shared';

export type FakeAttempt = {
  task_id: number;
  epoch: number;
  claim_id: string | undefined;
  state: 'claimed' | 'running' | 'completed' | 'failed' | 'released' | 'lost';
  log: Record<LogStream, Buffer>;
  /** Attached files, in the order they came. */
  files: Map<string, Buffer>;
  /** Every terminal report that was taken, in order; more than one is a defect. */
  reports: { verb: string; body: Record<string, unknown> }[];
  last_phase: string | null;
};

export type FakeTask = {
  id: number;
  status: 'queued' | 'running' | 'done' | 'failed' | 'deleted';
  given: Partial<ClaimedTask>;
  cancel_requested: boolean;
  attempts: FakeAttempt[];
};

export type FakeDrain = {
  generation: number;
  remaining_ms: number | null;
  deadline: string | null;
  on_deadline: OnDeadline;
};

/** What a fault does with a request instead of answering it; `after` ones happen when its effect is done. */
export type Fault =
  | { kind: 'reset'; after?: boolean }
  | { kind: 'hang' }
  | { kind: 'answer'; status: number; body: string; type?: string; after?: boolean };

export type FakeRequest = {
  method: string;
  path: string;
  query: URLSearchParams;
  body: unknown;
  bytes: Buffer;
  token: string | null;
};

export const json = (status: number, value: unknown): Fault => ({
  kind: 'answer',
  status,
  body: JSON.stringify(value),
  type: 'application/json',
});

/** An error in the coordinator's own words. */
export const apiError = (status: number, code: string, details?: Record<string, unknown>): Fault =>
  json(status, { error: `fake: ${code}`, code, details, request_id: 'fake' });

export const emptyLog = (): FakeAttempt['log'] => ({ stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) });

/** Takes an attached file, as long as the attempt lives. */
export const storeFile = (attempt: FakeAttempt, { query, bytes }: FakeRequest): Fault => {
  if (!isLive(attempt)) return apiError(409, 'lease_lost');
  const name = query.get('name') ?? '';
  attempt.files.set(name, bytes);
  return json(201, {
    id: attempt.files.size,
    task_id: attempt.task_id,
    attempt: 1,
    agent: 'tester',
    name,
    content_type: 'application/octet-stream',
    size: bytes.length,
    sha256: '',
    created_at: '',
  });
};

export const isLive = ({ state }: FakeAttempt): boolean => state === 'claimed' || state === 'running';

/** The agent as a registration answers it. */
export const fakeAgent = (name: string): Record<string, unknown> => ({
  id: 7,
  name,
  kind: 'daemon',
  role: 'agent',
  status: 'online',
  status_sentence: '',
  eligibility: 'eligible',
  eligibility_generation: 1,
  drain: null,
  drained: false,
  hostname: null,
  host_uid: null,
  platform: null,
  version: null,
  tags: [],
  reported_tags: [],
  metadata: {},
  executors: ['command'],
  slots: 1,
  slots_ceiling: 32,
  slots_used: 0,
  isolation: null,
  observed: {},
  last_heartbeat_at: null,
  disabled_at: null,
  created_at: '',
  updated_at: '',
  row_version: 1,
});
