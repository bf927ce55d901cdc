import { storeBeats } from './agents/store-beats.ts';
import { createBatcher } from './db/batcher.ts';
import { pollInRounds } from './tasks/claim/queue.ts';
import { storeCompletions } from './tasks/complete.ts';
import { storeStarts } from './tasks/start.ts';
import { createTasks } from './tasks/create.ts';
import { findPrincipals } from './tokens/find-principals.ts';

/** The verbs that share transactions under load. Claims have their own desk, where they also wait. */
export const createBatches = () => ({
  tokens: createBatcher(findPrincipals, { max: 512, lanes: 2 }),
  // A host's next beat is seconds away. With 1 000 hosts this halves what Postgres spends on them, and saves the coordinator
  // a third (docs/adr/0017).
  beats: createBatcher(storeBeats, { max: 512, lanes: 1, space: { ms: 50, enough: 32 } }),
  polls: createBatcher(pollInRounds, { max: 256, lanes: 1 }),
  creations: createBatcher(createTasks, { max: 128, lanes: 2 }),
  starts: createBatcher(storeStarts, { max: 256, lanes: 2 }),
  completions: createBatcher(storeCompletions, { max: 256, lanes: 2 }),
});

export type Batches = ReturnType<typeof createBatches>;
