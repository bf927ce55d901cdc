import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { group, retry, whenAborted } from '@flotilla/shared';
import type { Logger } from 'pino';

import { createBatches } from './batches.ts';
import type { Config } from './config.ts';
import { connect } from './db/client.ts';
import { createDatabase } from './db/database.ts';
import { migrateDatabase } from './db/migrate.ts';
import { runNotifications } from './db/notify.ts';
import { provideDatabase } from './db/provide.ts';
import type { Deps } from './deps.ts';
import { createSharedReads } from './events/shared-reads.ts';
import { startHttp } from './http/server.ts';
import { createHub } from './hub.ts';
import { runMaintenance } from './jobs/maintenance.ts';
import { runLoops } from './loops.ts';
import { createMetrics } from './metrics.ts';
import { createIsDiskLow } from './operations/disk.ts';
import { createClaimDesk } from './tasks/claim/desk.ts';
import { markAlive } from './tasks/expire/guards.ts';
import { createQueueClasses } from './tasks/queue-classes.ts';
import { createBelieved } from './tokens/believed.ts';
import { ensureFirstWorkspace, loadAttemptKey } from './workspaces/bootstrap.ts';

const MIGRATIONS = fileURLToPath(new URL('../drizzle', import.meta.url));

export type Announce = {
  /** The API answers at this URL. */
  listening(url: string): void;
  /** An admin token was made just now; nobody can read it again. */
  adminToken(token: string): void;
};

/** The server is there and asks for patience: it recovers after a crash, or shuts down to start again. */
const isStartingUp = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '57P03';

/** The whole coordinator, from database to HTTP, until the signal aborts; then in reverse. */
export const runCoordinator = async (
  config: Config,
  log: Logger,
  announce: Announce,
  signal: AbortSignal,
): Promise<void> => {
  const database = await provideDatabase(config, log, signal);
  try {
    await retry(() => migrateDatabase(database.facts, MIGRATIONS), {
      signal,
      retryable: isStartingUp,
      backoff: { min_ms: 200, max_ms: 5_000 },
      onRetry: (error) => log.warn({ error }, 'Postgres is starting; waiting for it'),
    });
    const pool = connect(database.facts, { max: config.FLOTILLA_DB_CONNECTIONS, name: 'flotilla' });
    try {
      const db = createDatabase(pool);
      const made = await ensureFirstWorkspace(db, config.FLOTILLA_ADMIN_TOKEN);
      if (made !== null) announce.adminToken(made);
      const hub = createHub();
      const deps: Deps = {
        config,
        db,
        log,
        metrics: createMetrics(),
        hub,
        classes: createQueueClasses(),
        desk: createClaimDesk(),
        batches: createBatches(),
        workspace_facts: new Map(),
        event_reads: createSharedReads(hub),
        isDiskLow: createIsDiskLow(config),
        believed: createBelieved(),
        attempt_key: await loadAttemptKey(db),
        random: Math.random,
      };
      deps.hub.on('work', (queue_class_id, count) => deps.desk.wake(deps, queue_class_id, count));
      deps.hub.on('interrupt', (agent_id) => deps.desk.end(agent_id));
      // Before anything may expire: the gap since the last coordinator lived is found here.
      await markAlive(deps);
      const http = await startHttp(deps);
      announce.listening(http.url);
      await group(
        {
          http: (until) => whenAborted(until).then(() => http.close()),
          postgres: (until) => database.supervise(until),
          loops: (until) => runLoops(deps, until),
          notifications: (until) => runNotifications(deps, pool, randomUUID(), until),
          maintenance: (until) => runMaintenance(deps, database.facts, until),
        },
        signal,
      );
    } finally {
      await pool.end({ timeout: 5 });
    }
  } finally {
    await database.stop();
  }
};
