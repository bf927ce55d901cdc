import { z } from 'zod';

/**
 * Every error the API can answer: code → HTTP status and the default human sentence. Verbs throw an `AppError` with one
 * of these codes; the coordinator turns it into an `ErrorBody`, the client turns that back into an `ApiError`.
 */
export const errorCatalog = {
  invalid_input: { status: 400, sentence: 'The request is not valid.' },
  not_json: { status: 400, sentence: 'The request body is not valid JSON.' },
  unauthenticated: { status: 401, sentence: 'A valid token is required.' },
  join_token_invalid: { status: 401, sentence: 'The join token is unknown, used or expired.' },
  forbidden: { status: 403, sentence: 'This token may not do that.' },
  not_found: { status: 404, sentence: 'There is no such object.' },
  task_gone: { status: 410, sentence: 'The task was deleted.' },
  agent_gone: { status: 410, sentence: 'The agent was deleted.' },
  name_taken: { status: 409, sentence: 'The name is already in use.' },
  lease_lost: { status: 409, sentence: 'Another attempt holds this task, or this one ended.' },
  log_gap: { status: 409, sentence: 'The log chunk does not start where the stored log ends.' },
  invalid_transition: { status: 409, sentence: 'The current status does not allow that.' },
  task_running: { status: 409, sentence: 'The task is running; that can change only between attempts.' },
  agent_busy: { status: 409, sentence: 'The agent still runs tasks.' },
  agent_draining: { status: 409, sentence: 'The agent is draining and gets no new work.' },
  instance_conflict: { status: 409, sentence: 'Another instance of this agent is active.' },
  version_mismatch: { status: 412, sentence: 'The object changed since it was read.' },
  body_too_large: { status: 413, sentence: 'The request body is too large.' },
  host_not_allowed: { status: 421, sentence: 'This host name is not served here.' },
  idempotency_mismatch: { status: 422, sentence: 'This Idempotency-Key was used with another request.' },
  protocol_unsupported: { status: 426, sentence: 'This protocol version is not supported.' },
  internal: { status: 500, sentence: 'Something went wrong on our side.' },
  unavailable: { status: 503, sentence: 'The database is not reachable; try again.' },
  disk_full: { status: 507, sentence: 'The coordinator is out of disk space; new tasks are not accepted.' },
} as const satisfies Record<string, { status: number; sentence: string }>;

export type ErrorCode = keyof typeof errorCatalog;

/** The body of every error answer. `details` is machine-readable: field errors, the current row, the wanted offset. */
export const ErrorBody = z.object({
  error: z.string(),
  code: z.string(),
  hint: z.string().optional(),
  details: z.record(z.string(), z.unknown()).optional(),
  request_id: z.string(),
});
export type ErrorBody = z.infer<typeof ErrorBody>;

export type ErrorExtras = { sentence?: string; hint?: string; details?: Record<string, unknown>; cause?: unknown };

/** An expected failure, thrown by verbs and answered as the catalog says. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, extras: ErrorExtras = {}) {
    super(extras.sentence ?? errorCatalog[code].sentence, { cause: extras.cause });
    this.name = 'AppError';
    this.code = code;
    this.hint = extras.hint;
    this.details = extras.details;
  }
}
