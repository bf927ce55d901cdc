import { randomUUID } from 'node:crypto';

import type { Connection } from './connection.ts';

/** Somebody who asks: an agent, or a person (whose id nobody needs). */
export type Caller = { id: number; token: string };
export type Claimed = { tasks: { id: number; epoch: number; title: string }[] };

export const ask = async (
  connection: Connection,
  token: string,
  method: string,
  path: string,
  body: unknown,
): Promise<unknown> => {
  const sent = body instanceof Uint8Array ? body : JSON.stringify(body);
  const answer = await connection.request(method, path, token, sent);
  if (answer.status >= 300) throw new Error(`${method} ${path} answered ${answer.status}: ${answer.body}`);
  return answer.body === '' ? null : JSON.parse(answer.body);
};

export const claim = (connection: Connection, token: string, slots: number, wait_s = 0) =>
  ask(connection, token, 'POST', '/api/v1/tasks/claim', { slots, wait_s, claim_id: randomUUID() }) as Promise<Claimed>;

export const complete = (connection: Connection, token: string, task: { id: number; epoch: number }) =>
  ask(connection, token, 'POST', `/api/v1/tasks/${task.id}/complete`, {
    epoch: task.epoch,
    resolution: 'done',
    exit_code: 0,
    log_sizes: {},
  });

export const create = (connection: Connection, token: string, title: string) =>
  ask(connection, token, 'POST', '/api/v1/tasks', { title }) as Promise<{ id: number }>;

export type Held = { task_id: number; epoch: number };

export const beat = (connection: Connection, { id, token }: Caller, seq: number, held: Held[], phase = 'running') =>
  ask(connection, token, 'POST', `/api/v1/agents/${id}/heartbeat`, {
    instance_id: 'bench',
    seq,
    state: 'running',
    eligibility_generation: 0,
    attempts: held.map((attempt) => ({ ...attempt, phase })),
  });
