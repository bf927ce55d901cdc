import { createHmac, timingSafeEqual } from 'node:crypto';

const sign = (key: Uint8Array, task_id: number, epoch: number): Buffer =>
  createHmac('sha256', key).update(`attempt:${task_id}:${epoch}`).digest();

/** A token that is stored nowhere and dies with its epoch: HMAC(server key, task, epoch). */
export const attemptToken = (key: Uint8Array, task_id: number, epoch: number): string =>
  `flt_${task_id}.${epoch}.${sign(key, task_id, epoch).toString('base64url')}`;

/** What a token claims, when its signature is right. Whether that epoch still lives is the caller's question. */
export const readAttemptToken = (key: Uint8Array, token: string): { task_id: number; epoch: number } | null => {
  const match = /^flt_(\d{1,16})\.(\d{1,16})\.([\w-]{43})$/.exec(token);
  if (match === null) return null;
  const [task_id, epoch] = [Number(match[1]), Number(match[2])];
  const given = Buffer.from(match[3] ?? '', 'base64url');
  const expected = sign(key, task_id, epoch);
  return given.length === expected.length && timingSafeEqual(given, expected) ? { task_id, epoch } : null;
};
