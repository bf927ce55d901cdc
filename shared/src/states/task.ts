import { machine, stateNames } from './machine.ts';

export type TaskStatus = 'backlog' | 'inbox' | 'assigned' | 'in_progress' | 'review' | 'done' | 'failed' | 'cancelled';

export const taskMachine = machine({
  states: {
    backlog: { sentence: 'Parked; nobody gets it until it is moved to the inbox.', terminal: false },
    inbox: { sentence: 'Waiting for any eligible agent.', terminal: false },
    assigned: { sentence: 'Waiting for the agent it is assigned to.', terminal: false },
    in_progress: { sentence: 'An agent holds it and works on it.', terminal: false },
    review: { sentence: 'The work is delivered and waits for a verdict.', terminal: false },
    done: { sentence: 'Finished and accepted.', terminal: true },
    failed: { sentence: 'Given up; a person may retry it.', terminal: true },
    cancelled: { sentence: 'Stopped by a person.', terminal: true },
  },
  edges: {
    park: { from: ['inbox', 'assigned'], to: ['backlog'], sentence: 'Put aside.' },
    unpark: { from: ['backlog'], to: ['inbox', 'assigned'], sentence: 'Put back into the queue.' },
    assign: { from: ['backlog', 'inbox', 'assigned'], to: ['assigned', 'backlog'], sentence: 'Given to one agent.' },
    unassign: { from: ['assigned', 'inbox', 'backlog'], to: ['inbox', 'backlog'], sentence: 'Given back to everyone.' },
    claim: {
      from: ['inbox', 'assigned'],
      to: ['in_progress'],
      sentence: 'An agent took it with a lease and an epoch.',
    },
    start: { from: ['in_progress'], to: ['in_progress'], sentence: 'The executor runs.' },
    unclaim: {
      from: ['in_progress'],
      to: ['inbox', 'assigned', 'failed', 'cancelled'],
      sentence: 'Handed back without a result.',
    },
    ask: {
      from: ['in_progress'],
      to: ['inbox', 'assigned', 'failed', 'cancelled'],
      sentence: 'The attempt ended with a question; it is queued again, and waits for the answer.',
    },
    answer: {
      from: ['backlog', 'inbox', 'assigned'],
      to: ['backlog', 'inbox', 'assigned'],
      sentence: 'A person answered its question.',
    },
    complete: { from: ['in_progress', 'inbox', 'assigned'], to: ['review', 'done'], sentence: 'Work delivered.' },
    fail: { from: ['in_progress'], to: ['inbox', 'assigned', 'failed', 'cancelled'], sentence: 'The attempt failed.' },
    miss_start: {
      from: ['backlog', 'inbox', 'assigned'],
      to: ['failed'],
      sentence: 'It was not started by its time.',
    },
    expire: { from: ['in_progress'], to: ['inbox', 'assigned', 'failed', 'cancelled'], sentence: 'The lease ran out.' },
    cancel: {
      from: ['backlog', 'inbox', 'assigned', 'in_progress', 'review'],
      to: ['cancelled', 'in_progress'],
      sentence: 'Stopped by a person.',
    },
    report_cancelled: { from: ['in_progress'], to: ['cancelled'], sentence: 'The agent confirmed the stop.' },
    approve: { from: ['review'], to: ['done'], sentence: 'The work was accepted.' },
    reject: {
      from: ['review'],
      to: ['inbox', 'assigned', 'failed'],
      sentence: 'The work was sent back with feedback.',
    },
    retry: {
      from: ['done', 'failed', 'cancelled'],
      to: ['inbox', 'assigned'],
      sentence: 'A person asked for a new attempt.',
    },
    edit: {
      from: ['backlog', 'inbox', 'assigned', 'review', 'done', 'failed', 'cancelled'],
      to: [],
      sentence: 'Fields changed.',
    },
    delete: {
      from: ['backlog', 'inbox', 'assigned', 'review', 'done', 'failed', 'cancelled'],
      to: [],
      sentence: 'Removed.',
    },
  },
});

export type TaskVerb = keyof typeof taskMachine.edges;
export const taskStatuses = stateNames(taskMachine);

/**
 * Limits of protocol.md §5. The fifth failed try, the fifth lost host, the third rejection ends a task as failed; and no
 * task gets more than 25 attempts, whatever they counted as.
 */
export const taskLimits = { dispatch_attempts: 5, stale_requeues: 5, rejections: 3, attempts: 25 } as const;
