// Longer than most: one command each for all that may happen to a task, and what they share.
/* oxlint-disable vitest/no-standalone-expect -- commands run inside the one test of model.test.ts */
import { ApiError, type ClaimedTask } from '@flotilla/shared';
import fc from 'fast-check';
import { expect } from 'vitest';

import type { TestApp } from './app.ts';
import type { TestAgent, TestWorkspace } from './fleet.ts';
import { findViolations } from './invariants.ts';
import * as model from './model.ts';

type Sent = {
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
const pick = <T>(from: readonly T[], at: number): T | undefined => from.at(-1 - (at % Math.max(1, from.length)));

/** Compares everything, then asks Postgres for broken promises. */
const compare = async (m: model.Model, real: Real): Promise<void> => {
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
const refusal = async (call: Promise<unknown>): Promise<string | null> => {
  try {
    await call;
    return null;
  } catch (error) {
    if (error instanceof ApiError && error.status < 500) return error.code;
    throw error;
  }
};

/** One command: a name with its arguments, and what it does to both. */
class Command implements fc.AsyncCommand<model.Model, Real> {
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

const small = fc.nat(11);
const agentIndex = fc.nat(2);

const create = fc
  .record({
    review: fc.constantFrom('none', 'none', 'human'),
    hold: fc.constantFrom(false, false, true),
    assign: fc.option(agentIndex, { freq: 3 }),
  })
  .map(({ review, hold, assign }) => {
    const on_host_loss = hold ? 'hold' : 'requeue';
    return new Command(`create(${review}, ${on_host_loss}, ${assign})`, async (m, real) => {
      const agent = assign === null ? undefined : real.agents[assign];
      const made = await real.workspace.task({
        review,
        on_host_loss,
        ...(agent === undefined ? {} : { assigned_to: agent.name }),
      });
      m.tasks.set(made.id, {
        id: made.id,
        status: agent === undefined ? 'inbox' : 'assigned',
        assigned: agent?.id ?? null,
        review,
        on_host_loss,
        epoch: null,
        claimed_by: null,
        attempts: 0,
        dispatch_attempts: 0,
        stale_requeues: 0,
        rejections: 0,
        cancel_requested: false,
      });
    });
  });

const claimAs = async (m: model.Model, real: Real, agent: number, slots: number, claim_id: string): Promise<void> => {
  const [host, mine] = [real.agents[agent], m.agents[agent]];
  if (host === undefined || mine === undefined) return;
  const remember = (attempts: model.ModelAttempt[]) => {
    const memory = real.memory[agent] ?? [];
    real.memory[agent] = [...memory, ...attempts.filter((attempt) => !memory.includes(attempt))];
  };
  const got: ClaimedTask[] = await host.claim(slots, { claim_id });
  const replay = m.attempts.filter(
    (attempt) => attempt.agent === host.id && attempt.claim_id === claim_id && model.isLive(attempt),
  );
  if (replay.length > 0) {
    expect(got.map(({ epoch }) => epoch).toSorted((a, b) => a - b)).toEqual(replay.map(({ epoch }) => epoch));
    return remember(replay);
  }
  const expected = model.claimable(m, mine, slots);
  expect(got.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
  // Within one claim the epochs may be given in any order; over time they only grow.
  const inOrder = got.toSorted((a, b) => a.epoch - b.epoch);
  remember(inOrder.map(({ id, epoch }) => model.claim(m, mine, model.taskOf(m, id), epoch, claim_id)));
};

const claim = fc
  .record({ agent: agentIndex, slots: fc.integer({ min: 1, max: 3 }), claim_id: fc.nat(30) })
  .map(
    ({ agent, slots, claim_id: number }) =>
      new Command(`claim(${agent}, ${slots}, c${number})`, (m, real) => claimAs(m, real, agent, slots, `c${number}`)),
  );

const beat = agentIndex.map(
  (agent) =>
    new Command(`beat(${agent})`, async (m, real) => {
      const held = real.memory[agent] ?? [];
      const answer = await real.agents[agent]?.beat(held.map(({ task, epoch }) => ({ id: task, epoch })));
      expect(answer?.attempts.map(({ epoch, verdict }) => [epoch, verdict])).toEqual(
        held.map((attempt) => [attempt.epoch, model.renew(m, attempt)]),
      );
      expect(answer?.eligibility).toBe(m.agents[agent]?.draining === true ? 'ineligible' : 'eligible');
      // `lost` is an order: the host stops the attempt and forgets it.
      real.memory[agent] = held.filter((attempt) => model.isLive(attempt));
    }),
);

/** Any attempt an agent ever made: what it no longer owns is a late or reordered report. */
const anyAttempt = (
  m: model.Model,
  real: Real,
  at: number,
): { attempt: model.ModelAttempt; host: TestAgent } | null => {
  const attempt = pick(m.attempts, at);
  const host = real.agents.find(({ id }) => id === attempt?.agent);
  return attempt === undefined || host === undefined ? null : { attempt, host };
};
const heldOf = ({ task, epoch }: model.ModelAttempt) => ({ id: task, epoch });

const start = small.map(
  (at) =>
    new Command(`start(${at})`, async (m, real) => {
      const found = anyAttempt(m, real, at);
      if (found === null) return;
      const refused = await refusal(found.host.start(heldOf(found.attempt)));
      expect(refused).toBe(model.start(found.attempt) ? null : 'lease_lost');
    }),
);

const send = async (m: model.Model, host: TestAgent, { attempt, kind, body, how }: Sent): Promise<void> => {
  const task = heldOf(attempt);
  const report = { retryable: how.retryable, kind: how.cancelled ? 'cancelled' : 'exit_code', message: body };
  const call = kind === 'complete' ? host.complete(task, { resolution: body }) : host.fail(task, report);
  const answered = await call.catch((error: unknown) => {
    if (error instanceof ApiError && error.code === 'lease_lost') return null;
    throw error;
  });
  const judged =
    kind === 'complete'
      ? model.complete(m, attempt, `complete ${body}`)
      : model.fail(m, attempt, `fail ${body} ${JSON.stringify(how)}`, how);
  expect(answered).toEqual(judged.accepted ? { status: judged.status } : null);
};

const report = fc
  .record({
    at: small,
    kind: fc.constantFrom('complete' as const, 'complete' as const, 'fail' as const),
    body: fc.constantFrom('a', 'b'),
    retryable: fc.boolean(),
    cancelled: fc.constantFrom(false, false, true),
  })
  .map(
    ({ at, kind, body, retryable, cancelled }) =>
      new Command(
        `${kind}(${at}, ${body}${kind === 'fail' ? `, retryable ${retryable}, cancelled ${cancelled}` : ''})`,
        async (m, real) => {
          const found = anyAttempt(m, real, at);
          if (found === null) return;
          const sent: Sent = { attempt: found.attempt, kind, body, how: { retryable, cancelled } };
          await send(m, found.host, sent);
          real.sent.push(sent);
        },
      ),
  );

const duplicate = small.map(
  (at) =>
    new Command(`duplicate(${at})`, async (m, real) => {
      const sent = pick(real.sent, at);
      const host = real.agents.find(({ id }) => id === sent?.attempt.agent);
      if (sent !== undefined && host !== undefined) await send(m, host, sent);
    }),
);

const unclaim = small.map(
  (at) =>
    new Command(`unclaim(${at})`, async (m, real) => {
      const found = anyAttempt(m, real, at);
      if (found === null) return;
      const refused = await refusal(found.host.unclaim(heldOf(found.attempt)));
      expect(refused).toBe(model.unclaim(m, found.attempt) ? null : 'lease_lost');
    }),
);

type ByPerson = (m: model.Model, task: model.ModelTask) => boolean;
const byPerson = (
  name: string,
  ask: (real: Real, id: number) => Promise<unknown>,
  apply: ByPerson,
  code: (task: model.ModelTask) => string,
) =>
  small.map(
    (at) =>
      new Command(`${name}(${at})`, async (m, real) => {
        const task = pick([...m.tasks.values()], at);
        if (task === undefined) return;
        const expected = code(task);
        const refused = await refusal(ask(real, task.id));
        expect(refused).toBe(apply(m, task) ? null : expected);
      }),
  );
const running = (task: model.ModelTask) => (task.status === 'in_progress' ? 'task_running' : 'invalid_transition');

const cancel = byPerson(
  'cancel',
  ({ workspace }, id) => workspace.admin.tasks.cancel({ params: { id }, body: {} }),
  (_, task) => model.cancel(task),
  running,
);
const retry = byPerson(
  'retry',
  ({ workspace }, id) => workspace.admin.tasks.retry({ params: { id } }),
  (_, task) => model.retry(task),
  running,
);
const release = byPerson(
  'release',
  ({ workspace }, id) => workspace.admin.tasks.release({ params: { id } }),
  (m, task) => model.release(m, task),
  () => 'invalid_transition',
);
const approve = byPerson(
  'approve',
  ({ workspace }, id) => workspace.admin.tasks.patch({ params: { id }, body: { status: 'done' } }),
  (_, task) => task.status === 'done' || model.judge(task, 'approve'),
  running,
);
const reject = small.map(
  (at) =>
    new Command(`reject(${at})`, async (m, real) => {
      const inReview = pick(
        [...m.tasks.values()].filter(({ status }) => status === 'review'),
        at,
      );
      if (inReview === undefined) return;
      await real.workspace.admin.tasks.patch({ params: { id: inReview.id }, body: { status: 'inbox' } });
      expect(model.judge(inReview, 'reject')).toBe(true);
    }),
);

const drain = agentIndex.map(
  (agent) =>
    new Command(`drain(${agent})`, async (m, real) => {
      const mine = m.agents[agent];
      if (mine === undefined) return;
      const row = await real.workspace.admin.agents.drain({ params: { id: mine.id }, body: {} });
      Object.assign(mine, { draining: true, generation: mine.generation + 1 });
      expect(row).toMatchObject({ eligibility: 'ineligible', eligibility_generation: mine.generation });
    }),
);
const resume = fc.record({ agent: agentIndex, stale: fc.boolean() }).map(
  ({ agent, stale }) =>
    new Command(`resume(${agent}${stale ? ', stale' : ''})`, async (m, real) => {
      const mine = m.agents[agent];
      if (mine === undefined) return;
      const body = stale && mine.generation > 0 ? { generation: mine.generation - 1 } : {};
      const refused = await refusal(real.workspace.admin.agents.resume({ params: { id: mine.id }, body }));
      expect(refused).toBe('generation' in body ? 'version_mismatch' : null);
      if (refused === null && mine.draining) Object.assign(mine, { draining: false, generation: mine.generation + 1 });
    }),
);

const crash = agentIndex.map(
  (agent) => new Command(`crash(${agent})`, async (_, real) => void (real.memory[agent] = [])),
);

const passTime = async (m: model.Model, { app }: Real, ms: number): Promise<void> => {
  await app.shiftClock(ms);
  // Nobody's silence is judged here: guards have their own tests.
  await app.sql`delete from agent_beats`;
  expect(await app.expire()).toBeNull();
  m.now += ms;
  model.expire(m);
};

// Steps that stay clear of every limit by more than the time a run may take.
const pass = fc
  .constantFrom(45_000, 45_000, 130_000, 130_000, 25 * 3_600_000)
  .map((ms) => new Command(`pass(${ms / 1000} s, then expire)`, (m, real) => passTime(m, real, ms)));

/** The same misfortune again and again, until a limit is reached. */
const wear = fc
  .record({ agent: agentIndex, times: fc.integer({ min: 2, max: 7 }), by: fc.constantFrom('fail', 'expire', 'reject') })
  .map(
    ({ agent, times, by }) =>
      new Command(`wear(${agent}, ${by} × ${times})`, async (m, real) => {
        const host = real.agents[agent];
        if (host === undefined) return;
        for (let time = 0; time < times; time++) {
          await claimAs(m, real, agent, 1, `w${m.attempts.length}`);
          const held = m.attempts.findLast((attempt) => attempt.agent === host.id && model.isLive(attempt));
          if (held === undefined) return;
          const task = model.taskOf(m, held.task);
          if (by === 'expire') await passTime(m, real, 130_000);
          else if (by === 'fail')
            await send(m, host, {
              attempt: held,
              kind: 'fail',
              body: `w${time}`,
              how: { retryable: true, cancelled: false },
            });
          else {
            await send(m, host, {
              attempt: held,
              kind: 'complete',
              body: `w${time}`,
              how: { retryable: true, cancelled: false },
            });
            if (task.status !== 'review') return;
            await real.workspace.admin.tasks.patch({ params: { id: task.id }, body: { status: 'inbox' } });
            expect(model.judge(task, 'reject')).toBe(true);
          }
          await compare(m, real);
        }
      }),
  );

/** A report of an attempt that lost its task or was handed back, in the order a network may deliver it. */
const late = fc
  .record({ at: small, kind: fc.constantFrom('complete' as const, 'complete' as const, 'fail' as const) })
  .map(
    ({ at, kind }) =>
      new Command(`late ${kind}(${at})`, async (m, real) => {
        const attempt = pick(
          m.attempts.filter(({ state }) => state === 'lost' || state === 'released'),
          at,
        );
        const host = real.agents.find(({ id }) => id === attempt?.agent);
        if (attempt === undefined || host === undefined) return;
        const sent: Sent = { attempt, kind, body: 'late', how: { retryable: true, cancelled: false } };
        await send(m, host, sent);
        real.sent.push(sent);
      }),
  );

/** What may happen, some of it more often than the rest. */
export const commands: fc.Arbitrary<fc.AsyncCommand<model.Model, Real>>[] = [
  create,
  create,
  claim,
  claim,
  claim,
  beat,
  start,
  report,
  duplicate,
  late,
  wear,
  wear,
  unclaim,
  cancel,
  retry,
  release,
  approve,
  reject,
  drain,
  resume,
  resume,
  crash,
  pass,
  pass,
];
