import type { Logger } from 'pino';

import type { Batches } from './batches.ts';
import type { Config } from './config.ts';
import type { Database } from './db/database.ts';
import type { SharedReads } from './events/shared-reads.ts';
import type { Hub } from './hub.ts';
import type { Metrics } from './metrics.ts';
import type { IsDiskLow } from './operations/disk.ts';
import type { ClaimDesk } from './tasks/claim/desk.ts';
import type { WorkspaceFactsCache } from './tasks/workspace-facts.ts';
import type { QueueClasses } from './tasks/queue-classes.ts';
import type { Believed } from './tokens/believed.ts';

/** What every verb gets first. Inside a transaction `db` is that transaction. */
export type Deps = {
  config: Config;
  db: Database;
  log: Logger;
  metrics: Metrics;
  hub: Hub;
  classes: QueueClasses;
  desk: ClaimDesk;
  batches: Batches;
  believed: Believed;
  workspace_facts: WorkspaceFactsCache;
  event_reads: SharedReads;
  isDiskLow: IsDiskLow;
  /** HMAC key of attempt tokens, shared by all coordinators through the database. */
  attempt_key: Uint8Array;
  random: () => number;
};
