/* oxlint-disable vitest/no-standalone-expect -- commands run inside the one test of model.test.ts */
import { ApiError, type ClaimedTask } from '@flotilla/shared';
import fc from 'fast-check';
import { expect } from 'vitest';

import { type TestAgent } from '../fleet.ts';
import * as model from '../model.ts';
import { agentIndex, Command, pick, type Real, refusal, type Sent, small } from './command.ts';

export const claimAs = async (
  m: model.Model,
  real: Real,
  agent: number,
  slots: number,
  claim_id: string,
): Promise<void> => {
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

export const claim = fc
  .record({ agent: agentIndex, slots: fc.integer({ min: 1, max: 3 }), claim_id: fc.nat(30) })
  .map(
    ({ agent, slots, claim_id: number }) =>
      new Command(`claim(${agent}, ${slots}, c${number})`, (m, real) => claimAs(m, real, agent, slots, `c${number}`)),
  );

export const beat = agentIndex.map(
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

export const start = small.map(
  (at) =>
    new Command(`start(${at})`, async (m, real) => {
      const found = anyAttempt(m, real, at);
      if (found === null) return;
      const refused = await refusal(found.host.start(heldOf(found.attempt)));
      expect(refused).toBe(model.start(found.attempt) ? null : 'lease_lost');
    }),
);

export const send = async (m: model.Model, host: TestAgent, { attempt, kind, body, how }: Sent): Promise<void> => {
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

export const report = fc
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

export const duplicate = small.map(
  (at) =>
    new Command(`duplicate(${at})`, async (m, real) => {
      const sent = pick(real.sent, at);
      const host = real.agents.find(({ id }) => id === sent?.attempt.agent);
      if (sent !== undefined && host !== undefined) await send(m, host, sent);
    }),
);

export const unclaim = small.map(
  (at) =>
    new Command(`unclaim(${at})`, async (m, real) => {
      const found = anyAttempt(m, real, at);
      if (found === null) return;
      const refused = await refusal(found.host.unclaim(heldOf(found.attempt)));
      expect(refused).toBe(model.unclaim(m, found.attempt) ? null : 'lease_lost');
    }),
);

export const crash = agentIndex.map(
  (agent) => new Command(`crash(${agent})`, async (_, real) => void (real.memory[agent] = [])),
);

/** A report of an attempt that lost its task or was handed back, in the order a network may deliver it. */
export const late = fc
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
