import { AppError, DeadlineError, type ErrorBody, errorCatalog } from '@flotilla/shared';
import { ZodError } from 'zod';

/** Answers of Postgres that are about our reach to it, not about the request: try again later. */
const unreachable = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'CONNECT_TIMEOUT',
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  '57P01',
  '57P02',
  '57P03',
  '57014',
  '53300',
  '40001',
  '40P01',
  '25P03',
  '08006',
  '08001',
]);
/** Postgres refused a value that the schema let through: a time out of range, a number too large. */
const refusedValue = /^22/;

const codeOf = (error: unknown): string | null =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : null;

const fromZod = (error: ZodError): AppError => {
  const fields = flatten(error).map(({ path, message }) => ({ path: path.join('.') || '(body)', message }));
  const [first] = fields;
  const more = fields.length > 1 ? ` (and ${fields.length - 1} more)` : '';
  return new AppError('invalid_input', {
    sentence: first === undefined ? undefined : `${first.path}: ${first.message}${more}`,
    hint: 'the contract is at /api/v1/openapi.json',
    details: { fields },
  });
};

/** Unions report each branch; the branch that came furthest is what the caller meant. */
const flatten = (error: ZodError): { path: PropertyKey[]; message: string }[] =>
  error.issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || issue.errors.length === 0)
      return [{ path: issue.path, message: issue.message }];
    const branches = issue.errors.map((issues) =>
      issues.map((inner) => ({ path: [...issue.path, ...inner.path], message: inner.message })),
    );
    return branches.toSorted((a, b) => a.length - b.length)[0] ?? [];
  });

/** Whatever was thrown, as the error that the API shows. Unknown ones are `internal`: their text stays in the log. */
export const toAppError = (error: unknown): AppError => {
  if (error instanceof AppError) return error;
  if (error instanceof ZodError) return fromZod(error);
  if (error instanceof DeadlineError) return new AppError('unavailable', { cause: error });
  const code = codeOf(error);
  if (code === '53100') return new AppError('disk_full', { cause: error });
  if (code !== null && unreachable.has(code)) return new AppError('unavailable', { cause: error });
  if (code !== null && refusedValue.test(code) && error instanceof Error) {
    return new AppError('invalid_input', { sentence: `A value is out of range: ${error.message}`, cause: error });
  }
  return new AppError('internal', { cause: error });
};

export const errorAnswer = (
  error: AppError,
  request_id: string,
): { status: number; body: ErrorBody; headers: Record<string, string> } => {
  const { status } = errorCatalog[error.code];
  const body: ErrorBody = { error: error.message, code: error.code, request_id };
  if (error.hint !== undefined) body.hint = error.hint;
  if (error.details !== undefined) body.details = error.details;
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'x-request-id': request_id,
  };
  if (status === 503) headers['retry-after'] = '1';
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="flotilla"';
  return { status, body, headers };
};
