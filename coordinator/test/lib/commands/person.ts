/* oxlint-disable vitest/no-standalone-expect -- commands run inside the one test of model.test.ts */
import fc from 'fast-check';
import { expect } from 'vitest';

import * as model from '../model.ts';
import { agentIndex, Command, pick, type Real, refusal, small } from './command.ts';

export const create = fc
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

export const cancel = byPerson(
  'cancel',
  ({ workspace }, id) => workspace.admin.tasks.cancel({ params: { id }, body: {} }),
  (_, task) => model.cancel(task),
  running,
);
export const retry = byPerson(
  'retry',
  ({ workspace }, id) => workspace.admin.tasks.retry({ params: { id } }),
  (_, task) => model.retry(task),
  running,
);
export const release = byPerson(
  'release',
  ({ workspace }, id) => workspace.admin.tasks.release({ params: { id } }),
  (m, task) => model.release(m, task),
  () => 'invalid_transition',
);
export const approve = byPerson(
  'approve',
  ({ workspace }, id) => workspace.admin.tasks.patch({ params: { id }, body: { status: 'done' } }),
  (_, task) => task.status === 'done' || model.judge(task, 'approve'),
  running,
);
export const reject = small.map(
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

export const drain = agentIndex.map(
  (agent) =>
    new Command(`drain(${agent})`, async (m, real) => {
      const mine = m.agents[agent];
      if (mine === undefined) return;
      const row = await real.workspace.admin.agents.drain({ params: { id: mine.id }, body: {} });
      Object.assign(mine, { draining: true, generation: mine.generation + 1 });
      expect(row).toMatchObject({ eligibility: 'ineligible', eligibility_generation: mine.generation });
    }),
);
export const resume = fc.record({ agent: agentIndex, stale: fc.boolean() }).map(
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
