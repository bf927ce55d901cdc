import { retry, whenAborted } from '@flotilla/shared';

import type { ConnectionFacts } from '../db/client.ts';
import type { Deps } from '../deps.ts';
import { deleteExpired } from '../operations/retention.ts';
import { type JobBackend, openJobBackend } from './backend.ts';

const QUEUE = 'maintenance';

/**
 * Background work that may be late. Jobs hold no truth: retention looks at what is due when it runs, and losing the
 * queue only means that the scheduler is put back. A queue that cannot be reached delays this and nothing else.
 */
export const runMaintenance = async (deps: Deps, facts: ConnectionFacts, signal: AbortSignal): Promise<void> => {
  const stop = await retry(() => startMaintenance(deps, facts), {
    signal,
    retryable: () => true,
    backoff: { min_ms: 1_000, max_ms: 60_000 },
    onRetry: (error, _attempt, delay_ms) =>
      deps.log.warn({ error, delay_ms }, 'the job queue is not reachable; trying again'),
  });
  await whenAborted(signal);
  await stop();
};

const startMaintenance = async (deps: Deps, facts: ConnectionFacts): Promise<() => Promise<void>> => {
  const backend = await openJobBackend(facts, deps.config.REDIS_URL);
  try {
    return await startQueue(deps, backend);
  } catch (error) {
    await backend.close();
    throw error;
  }
};

const startQueue = async (deps: Deps, backend: JobBackend): Promise<() => Promise<void>> => {
  const { connection } = backend;
  const onError = (error: Error) =>
    deps.log.warn({ error, queue: QUEUE }, 'the job queue had an error; it reconnects by itself');
  const queue = new backend.Queue(QUEUE, { connection });
  queue.on('error', onError);
  try {
    await queue.upsertJobScheduler(
      'retention',
      { every: deps.config.FLOTILLA_RETENTION_EVERY_MS },
      { name: 'retention', opts: { removeOnComplete: 10, removeOnFail: 100 } },
    );
  } catch (error) {
    await queue.close();
    throw error;
  }
  const run = async () => {
    const deleted = await deleteExpired(deps);
    deps.log.info({ deleted }, 'retention ran');
    return deleted;
  };
  const worker = new backend.Worker(QUEUE, run, { connection, concurrency: 1 });
  worker.on('error', onError);
  worker.on('failed', (_job, error) => onError(error));
  return async () => {
    await Promise.allSettled([worker.close(), queue.close()]);
    await backend.close();
  };
};
