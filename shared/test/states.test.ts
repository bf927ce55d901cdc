import { describe, expect, test } from 'vitest';

import {
  type AgentFacts,
  agentStatus,
  agentStatuses,
  agentStatusSentences,
  attemptMachine,
  attemptStates,
  can,
  isTerminal,
  liveAttemptStates,
  type Machine,
  machine,
  stateNames,
  statesFor,
  taskLimits,
  taskMachine,
  taskStatuses,
  whyNot,
} from '../src/index.ts';

const door = machine({
  states: {
    open: { sentence: 'Anyone may enter.', terminal: false },
    closed: { sentence: 'Nobody may enter.', terminal: false },
    bricked: { sentence: 'There is no door any more.', terminal: true },
  },
  edges: {
    close: { from: ['open'], to: ['closed'], sentence: 'Shut.' },
    brick: { from: ['open', 'closed'], to: ['bricked'], sentence: 'Walled up.' },
  },
});

describe('a machine', () => {
  test('says which states it has, where a verb acts, and where it ends', () => {
    expect(stateNames(door)).toEqual(['open', 'closed', 'bricked']);
    expect(statesFor(door, 'brick')).toEqual(['open', 'closed']);
    expect(can(door, 'close', 'open')).toBe(true);
    expect(can(door, 'close', 'closed')).toBe(false);
    expect(isTerminal(door, 'closed')).toBe(false);
    expect(isTerminal(door, 'bricked')).toBe(true);
  });

  test('says why not, in words that name the state', () => {
    expect(whyNot(door, 'close', 'open')).toBeNull();
    expect(whyNot(door, 'brick', 'bricked')).toBe(
      'brick needs a status of open, closed; it is bricked: There is no door any more.',
    );
  });
});

const machines: [string, Machine<string, string>][] = [
  ['task', taskMachine], // looked at as data here
  ['attempt', attemptMachine],
];

describe.each(machines)('the %s machine', (_name, m) => {
  const names = stateNames(m);

  test('names only states that exist, and says a sentence for each', () => {
    for (const { from, to, sentence } of Object.values(m.edges)) {
      for (const state of [...from, ...to]) expect(names).toContain(state);
      expect(from.length).toBeGreaterThan(0);
      expect(new Set(from).size).toBe(from.length);
      expect(sentence).toMatch(/\.$/);
    }
    for (const { sentence } of Object.values(m.states)) expect(sentence).toMatch(/^[A-Z].*\.$/);
  });

  test('can leave every state that is not terminal for a terminal one', () => {
    const next = (state: string) => Object.values(m.edges).flatMap(({ from, to }) => (from.includes(state) ? to : []));
    for (const start of names) {
      const seen = new Set<string>();
      for (const queue = [start]; queue.length > 0;) {
        const state = queue.pop() ?? start;
        if (seen.has(state)) continue;
        seen.add(state);
        queue.push(...next(state));
      }
      expect(
        [...seen].some((state) => isTerminal(m, state)),
        start,
      ).toBe(true);
    }
  });
});

test('only a person takes a task out of an end', () => {
  const leaving = Object.entries(taskMachine.edges)
    .filter(
      ([, { from, to }]) =>
        to.length > 0 && (from as readonly string[]).some((state) => ['done', 'failed', 'cancelled'].includes(state)),
    )
    .map(([verb]) => verb);
  expect(leaving).toEqual(['retry']);
  expect(taskStatuses.filter((status) => isTerminal(taskMachine, status))).toEqual(['done', 'failed', 'cancelled']);
});

test('live attempts are those that have not ended', () => {
  expect(attemptStates.filter((state) => !isTerminal(attemptMachine, state))).toEqual(liveAttemptStates);
});

test('limits are those of the protocol', () => {
  expect(taskLimits).toEqual({ dispatch_attempts: 5, stale_requeues: 5, rejections: 3, attempts: 25 });
});

describe('agentStatus', () => {
  const facts: AgentFacts = { disabled: false, silent: false, eligibility: 'eligible' };

  test.each([
    ['online', {}],
    ['offline', { silent: true }],
    ['draining', { eligibility: 'ineligible' }],
    ['offline', { eligibility: 'ineligible', silent: true }],
    ['disabled', { disabled: true }],
    ['disabled', { disabled: true, silent: true, eligibility: 'ineligible' }],
  ] as const)('is %s for %o', (status, more) => {
    expect(agentStatus({ ...facts, ...more })).toBe(status);
  });

  test('has a sentence for each', () => {
    expect(Object.keys(agentStatusSentences).toSorted()).toEqual(agentStatuses.toSorted());
  });
});
