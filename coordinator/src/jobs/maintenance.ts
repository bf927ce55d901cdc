import type { Deps } from '../deps.ts';
import { deleteExpired } from '../operations/retention.ts';
import type { JobBackend } from './backend.ts';

const QUEUE = 'maintenance';

/**
 * Background work that may be late. Jobs hold no truth: retention looks at what is due when it runs, and losing the
 * queue only means that the scheduler is put back at the next start.
 */
export const runMaintenance = async (deps: Deps, backend: JobBackend, signal: AbortSignal): Promise<void> => {
  const onError = (error: Error) =>
    deps.log.warn({ error, queue: QUEUE }, 'the job queue had an error; it reconnects by itself');
  const queue = new backend.Queue(QUEUE, { connection: backend.connection });
  const worker = new backend.Worker(
    QUEUE,
    async () => {
      const deleted = await deleteExpired(deps);
      deps.log.info({ deleted }, 'retention ran');
      return deleted;
    },
    { connection: backend.connection, concurrency: 1 },
  );
  queue.on('error', onError);
  worker.on('error', onError);
  worker.on('failed', (_job, error) => onError(error));
  await queue.upsertJobScheduler(
    'retention',
    { every: deps.config.FLOTILLA_RETENTION_EVERY_MS },
    { name: 'retention', opts: { removeOnComplete: 10, removeOnFail: 100 } },
  );
  await new Promise<void>((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.allSettled([worker.close(), queue.close()]);
  await backend.close();
};
