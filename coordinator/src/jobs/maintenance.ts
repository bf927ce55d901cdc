import { every, retry, within } from '@flotilla/shared';

import type { ConnectionFacts } from '../db/client.ts';
import type { Deps } from '../deps.ts';
import { deleteExpired } from '../operations/retention.ts';
import { type JobBackend, openJobBackend } from './backend.ts';

const QUEUE = 'maintenance';
const RETENTION = 'retention';

/** How often each coordinator looks whether the schedule is still there: that long a lost one stays lost. */
const LOOK_MS = 30_000;
/** A run this late will not come by itself: its job is gone and the schedule stayed. */
const OVERDUE_MS = 60_000;
/** What the queue may take to stop; a job cut off is done again by whoever is left. */
const STOP_MS = 5_000;

/**
 * Background work that may be late. Jobs hold no truth: retention looks at what is due when it runs, and a queue that
 * lost everything gets its schedule back. A queue that cannot be reached delays this and nothing else.
 */
export const runMaintenance = async (deps: Deps, facts: ConnectionFacts, signal: AbortSignal): Promise<void> => {
  const backend = await retry(() => openJobBackend(facts, deps.config.REDIS_URL), {
    signal,
    retryable: () => true,
    backoff: { min_ms: 1_000, max_ms: 15_000 },
    onRetry: (error, _attempt, delay_ms) =>
      deps.log.warn({ error, delay_ms }, 'the job queue is not reachable; trying again'),
  });
  const onError = (error: unknown) =>
    deps.log.warn({ error, queue: QUEUE }, 'the job queue had an error; it reconnects by itself');
  const queue = new backend.Queue(QUEUE, { connection: backend.connection });
  queue.on('error', onError);
  const worker = startWorker(deps, backend, onError);
  const period_ms = deps.config.FLOTILLA_RETENTION_EVERY_MS;
  let look = schedule;
  const pass = async () => {
    await look(queue, period_ms);
    look = keepScheduled;
  };
  await every(pass, {
    name: 'maintenance schedule',
    interval_ms: Math.min(period_ms, LOOK_MS),
    first_ms: 0,
    deadline_ms: LOOK_MS,
    signal,
    onError: (_name, error) => onError(error),
  });
  try {
    await within(STOP_MS, 'the job queue', Promise.allSettled([worker.close(backend.isGone()), queue.close()]));
  } catch (error) {
    onError(error);
  }
  await backend.close();
};

/** Makes the schedule, at our period: a changed setting counts from the start of the last coordinator that has it. */
const schedule = async (queue: InstanceType<JobBackend['Queue']>, period_ms: number): Promise<void> => {
  const opts = { removeOnComplete: 10, removeOnFail: 100 };
  await queue.upsertJobScheduler(RETENTION, { every: period_ms }, { name: RETENTION, opts });
};

/** Puts the schedule back when it is gone or stands still. Else it is left alone, for a new one begins its period anew. */
const keepScheduled = async (queue: InstanceType<JobBackend['Queue']>, period_ms: number): Promise<void> => {
  const found = await queue.getJobScheduler(RETENTION);
  if (found?.next === undefined || found.next < Date.now() - OVERDUE_MS) await schedule(queue, period_ms);
};

const startWorker = (deps: Deps, backend: JobBackend, onError: (error: unknown) => void) => {
  const run = async () => {
    const deleted = await deleteExpired(deps);
    deps.log.info({ deleted }, 'retention ran');
    return deleted;
  };
  const worker = new backend.Worker(QUEUE, run, { connection: backend.connection, concurrency: 1 });
  worker.on('error', onError);
  worker.on('failed', (_job, error) => onError(error));
  return worker;
};
