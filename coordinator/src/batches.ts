import { storeBeats } from './agents/heartbeat.ts';
import { createBatcher } from './db/batcher.ts';
import { storeCompletions } from './tasks/complete.ts';
import { storeStarts } from './tasks/start.ts';
import { createTasks } from './tasks/create.ts';

/** The verbs that share transactions under load. How many share one: beyond this its own length eats the gain. */
export const createBatches = () => ({
  beats: createBatcher(storeBeats, 512),
  creations: createBatcher(createTasks, 128),
  starts: createBatcher(storeStarts, 256),
  completions: createBatcher(storeCompletions, 256),
});

export type Batches = ReturnType<typeof createBatches>;
