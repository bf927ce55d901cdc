import type { ClaimedTask, CreateTask } from '@flotilla/shared';
import fc from 'fast-check';
import { expect, test } from 'vitest';

import { claimBatch } from '../src/tasks/claim/batch.ts';
import { testApp } from './lib/app.ts';
import type { TestAgent, TestWorkspace } from './lib/fleet.ts';

const app = await testApp();

const TAGS = ['a', 'b', 'c'];
const tags = fc.subarray(TAGS);
type Wanted = { tags: string[]; wanted: number };
/** `mine`: it is for the agent at this place alone. */
type Fields = Pick<CreateTask, 'priority' | 'due_date' | 'required_tags'> & { mine: number | null };

const fields: fc.Arbitrary<Fields> = fc.record({
  priority: fc.constantFrom('critical', 'high', 'medium', 'low'),
  due_date: fc.constantFrom(null, '2030-01-01T00:00:00.000Z', '2030-01-02T00:00:00.000Z'),
  required_tags: tags,
  mine: fc.option(fc.nat({ max: 5 }), { freq: 4 }),
});
const wanted: fc.Arbitrary<Wanted> = fc.record({ tags, wanted: fc.integer({ min: 1, max: 8 }) });

type Made = Fields & { id: number; assigned: number | null };
const may = (agent: TestAgent, has: string[], task: Made): boolean =>
  (task.assigned === null || task.assigned === agent.id) &&
  (task.required_tags ?? []).every((tag) => has.includes(tag));

const place = ({ priority, due_date, id }: Made): [number, number, number] => [
  ['critical', 'high', 'medium', 'low'].indexOf(priority ?? 'medium'),
  due_date == null ? Number.MAX_SAFE_INTEGER : Date.parse(due_date),
  id, // made one after the other
];
const inOrder = (tasks: Made[]): Made[] =>
  tasks.toSorted((a, b) => {
    const [x, y] = [place(a), place(b)];
    return x[0] - y[0] || x[1] - y[1] || x[2] - y[2];
  });

const fill = async (workspace: TestWorkspace, queue: Fields[], agents: TestAgent[]): Promise<Made[]> => {
  const made: Made[] = [];
  for (const { mine, ...more } of queue) {
    const agent = mine === null ? undefined : agents[mine % agents.length];
    const assigned_to = agent === undefined ? {} : { assigned_to: agent.name };
    const { id } = await workspace.task({ ...more, ...assigned_to });
    made.push({ ...more, mine, id, assigned: agent?.id ?? null });
  }
  return made;
};

const claimTogether = async (agents: TestAgent[], slots: number[]): Promise<number[][]> => {
  const requests = agents.map(({ id }, index) => ({ agent_id: id, slots: slots[index] ?? 1, claim_id: null }));
  const results = await claimBatch(app.deps, requests);
  return results.map(({ tasks }) => tasks.map((task: Pick<ClaimedTask, 'id'>) => task.id));
};

test('each task goes once, to who may have it, in claim order, and nothing is left that somebody wants', async () => {
  const property = async (queue: Fields[], asked: Wanted[]) => {
    const workspace = await app.workspace();
    const agents = await Promise.all(asked.map((agent) => workspace.agent({ tags: agent.tags, slots: 32 })));
    const made = await fill(workspace, queue, agents);
    const given = await claimTogether(
      agents,
      asked.map((agent) => agent.wanted),
    );
    const all = given.flat();
    expect(new Set(all).size).toBe(all.length);
    const left = made.filter(({ id }) => !all.includes(id));
    for (const [index, agent] of agents.entries()) {
      const got = (given[index] ?? []).map((id) => made.find((task) => task.id === id) as Made); // nothing else is there
      const has = asked[index]?.tags ?? [];
      expect(got.every((task) => may(agent, has, task))).toBe(true);
      expect(got).toEqual(inOrder(got));
      const room = (asked[index]?.wanted ?? 0) - got.length;
      expect(room).toBeGreaterThanOrEqual(0);
      if (room > 0) expect(left.filter((task) => may(agent, has, task))).toEqual([]);
    }
  };
  await fc.assert(
    fc.asyncProperty(fc.array(fields, { maxLength: 25 }), fc.array(wanted, { minLength: 1, maxLength: 6 }), property),
    { numRuns: 25 },
  );
}, 90_000);

test('alone, an agent gets the first tasks of all its classes together, however they are spread', async () => {
  const property = async (queue: Fields[], slots: number) => {
    const workspace = await app.workspace();
    const agent = await workspace.agent({ tags: TAGS, slots: 32 });
    const made = await fill(workspace, queue, [agent]);
    const [given] = await claimTogether([agent], [slots]);
    const expected = inOrder(made).slice(0, slots);
    expect(given).toEqual(expected.map(({ id }) => id));
  };
  await fc.assert(
    fc.asyncProperty(fc.array(fields, { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 32 }), property),
    { numRuns: 25 },
  );
}, 90_000);

test('equal agents take turns: none gets two more than another', async () => {
  const workspace = await app.workspace();
  const agents = await Promise.all(Array.from({ length: 5 }, () => workspace.agent({ slots: 32 })));
  await workspace.tasks(13);
  const given = await claimTogether(agents, [32, 32, 32, 32, 32]);
  expect(given.map((tasks) => tasks.length).toSorted((a, b) => a - b)).toEqual([2, 2, 3, 3, 3]);
});
