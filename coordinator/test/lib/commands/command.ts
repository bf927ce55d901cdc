import { ApiError } from '@flotilla/shared';
import fc from 'fast-check';
import { expect } from 'vitest';

import { type TestApp } from '../app.ts';
import { type TestAgent, type TestWorkspace } from '../fleet.ts';
import { findViolations } from '../invariants.ts';
import * as model from '../model.ts';

export type Sent = {
  attempt: model.ModelAttempt;
  kind: 'complete' | 'fail';
  body: string;
  how: { retryable: boolean; cancelled: boolean };
};
export type Real = {
  app: TestApp;
  workspace: TestWorkspace;
  agents: TestAgent[];
  /** What each agent's memory holds; a crash empties it. */
  memory: model.ModelAttempt[][];
  sent: Sent[];
};

/** Counts from the newest, where the most is going on. */
export const pick = <T>(from: readonly T[], at: number): T | undefined => from.at(-1 - (at % Math.max(1, from.length)));

/** Compares everything, then asks Postgres for broken promises. */
export const compare = async (m: model.Model, real: Real): Promise<void> => {
  const { id } = real.workspace;
  const { sql } = real.app;
  const [tasks, attempts, violations] = await Promise.all([
    sql<{ id: number; cancel_requested: boolean }[]>`
      select id, status, epoch, claimed_by_agent_id as claimed_by, attempts, dispatch_attempts, stale_requeues, rejections,
        cancel_requested_at is not null as cancel_requested
      from tasks where workspace_id = ${id} order by id`,
    sql<{ epoch: number }[]>`
      select a.task_id as task, a.agent_id as agent, a.epoch, a.state, l.held_until is not null as held, a.late_result is not null as late,
        a.report_digest is not null as reported
      from attempts a left join leases l on l.attempt_id = a.id where a.workspace_id = ${id} order by a.epoch`,
    findViolations(sql),
  ]);
  expect(violations).toEqual([]);
  expect([...tasks]).toEqual(
    [...m.tasks.values()].map(({ assigned: _assigned, review: _review, on_host_loss: _on_host_loss, ...task }) => task),
  );
  expect([...attempts]).toEqual(
    m.attempts.map((attempt) => ({
      task: attempt.task,
      agent: attempt.agent,
      epoch: attempt.epoch,
      state: attempt.state,
      held: model.isLive(attempt) && attempt.held_until !== null,
      late: attempt.late !== null,
      reported: attempt.report !== null,
    })),
  );
};

/** Null when the call succeeded, its code when it was refused by an expected error. */
export const refusal = async (call: Promise<unknown>): Promise<string | null> => {
  try {
    await call;
    return null;
  } catch (error) {
    if (error instanceof ApiError && error.status < 500) return error.code;
    throw error;
  }
};

/** One command: a name with its arguments, and what it does to both. */
export class Command implements fc.AsyncCommand<model.Model, Real> {
  readonly name: string;
  readonly act: (m: model.Model, real: Real) => Promise<void>;

  constructor(name: string, act: (m: model.Model, real: Real) => Promise<void>) {
    this.name = name;
    this.act = act;
  }
  check = () => true;
  run = async (m: model.Model, real: Real): Promise<void> => {
    await this.act(m, real);
    await compare(m, real);
  };
  toString = () => this.name;
}

export const small = fc.nat(11);
export const agentIndex = fc.nat(2);
