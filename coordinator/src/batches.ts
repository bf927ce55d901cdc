import { storeBeats } from './agents/heartbeat.ts';
import { createBatcher } from './db/batcher.ts';

/** The verbs that share transactions under load. How many share one: beyond this its own length eats the gain. */
export const createBatches = () => ({
  beats: createBatcher(storeBeats, 512),
});

export type Batches = ReturnType<typeof createBatches>;
