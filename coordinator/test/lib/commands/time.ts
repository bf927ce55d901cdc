/* oxlint-disable vitest/no-standalone-expect -- commands run inside the one test of model.test.ts */
import fc from 'fast-check';
import { expect } from 'vitest';

import * as model from '../model.ts';
import { agentIndex, Command, compare, type Real } from './command.ts';
import { claimAs, send } from './agent.ts';

const passTime = async (m: model.Model, { app }: Real, ms: number): Promise<void> => {
  await app.shiftClock(ms);
  // Nobody's silence is judged here: guards have their own tests.
  await app.sql`delete from agent_beats`;
  expect(await app.expire()).toBeNull();
  m.now += ms;
  model.expire(m);
};

// Steps that stay clear of every limit by more than the time a run may take.
export const pass = fc
  .constantFrom(52_000, 52_000, 160_000, 160_000, 25 * 3_600_000)
  .map((ms) => new Command(`pass(${ms / 1000} s, then expire)`, (m, real) => passTime(m, real, ms)));

/** The same misfortune again and again, until a limit is reached. */
export const wear = fc
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
          if (by === 'expire') await passTime(m, real, 160_000);
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
