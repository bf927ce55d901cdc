import { machine, stateNames } from './machine.ts';

export type AttemptState = 'claimed' | 'running' | 'completed' | 'failed' | 'cancelled' | 'released' | 'lost';

/** One execution of a task by one agent. `claimed` and `running` are live: they use a slot and own the lease. */
export const attemptMachine = machine({
  states: {
    claimed: { sentence: 'Taken by an agent, not started yet.', terminal: false },
    running: { sentence: 'The executor runs.', terminal: false },
    completed: { sentence: 'Delivered a result.', terminal: true },
    failed: { sentence: 'Ended with an error.', terminal: true },
    cancelled: { sentence: 'Stopped because a person cancelled the task.', terminal: true },
    released: { sentence: 'Handed back by its agent without a result.', terminal: true },
    lost: { sentence: 'Its lease ran out before it reported.', terminal: true },
  },
  edges: {
    start: { from: ['claimed', 'running'], to: ['running'], sentence: 'The executor was started.' },
    complete: {
      from: ['claimed', 'running', 'lost', 'released'],
      to: ['completed'],
      sentence: 'A result was accepted.',
    },
    fail: { from: ['claimed', 'running'], to: ['failed'], sentence: 'An error was accepted.' },
    cancel: { from: ['claimed', 'running'], to: ['cancelled'], sentence: 'The stop was confirmed.' },
    release: { from: ['claimed', 'running'], to: ['released'], sentence: 'Handed back.' },
    expire: { from: ['claimed', 'running'], to: ['lost'], sentence: 'The lease ran out.' },
  },
});

export const attemptStates = stateNames(attemptMachine);
export const liveAttemptStates: readonly AttemptState[] = ['claimed', 'running'];
