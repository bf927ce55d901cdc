import { ApiError, BadAnswerError } from '@flotilla/shared';
import { expect, test } from 'vitest';

import { readRefusal } from '../src/answers.ts';

const ours = (status: number, code: string) => new ApiError(status, { error: code, code, request_id: 'r' }, null);

test.for([
  ['lease_lost', ours(409, 'lease_lost')],
  ['retry', ours(409, 'instance_conflict')],
  ['refused', ours(400, 'invalid_input')],
  ['refused', ours(413, 'body_too_large')],
  ['refused', ours(422, 'idempotency_mismatch')],
  ['held', ours(401, 'unauthenticated')],
  ['held', ours(403, 'forbidden')],
  ['gone', ours(410, 'task_gone')],
  ['gone', ours(410, 'agent_gone')],
  ['retry', ours(410, 'something_new')],
  ['retry', ours(404, 'not_found')],
  ['retry', ours(503, 'unavailable')],
  ['retry', new ApiError(410, null, null)],
  ['retry', new ApiError(404, null, null)],
  ['retry', new ApiError(413, null, null)],
  ['held', new ApiError(403, null, null)],
  ['retry', new BadAnswerError('HTTP 200 with a page')],
  ['retry', Object.assign(new Error('reset'), { code: 'ECONNRESET' })],
] as const)('%s: %s', ([expected, error]) => {
  expect(readRefusal(error)).toBe(expected);
});
