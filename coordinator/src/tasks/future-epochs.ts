import type { Deps } from '../deps.ts';

/**
 * Which of these epochs were never given out: this database was put back to an earlier moment without raising the
 * sequence, and claims of two histories may carry one number. An alert for the operator; for the agent it is a lost lease.
 */
export const findFutureEpochs = async (deps: Deps, epochs: number[]): Promise<Set<number>> => {
  if (epochs.length === 0) return new Set();
  const [sequence] = await deps.db.sql<{ last: number }[]>`
    select case when is_called then last_value else last_value - 1 end as last from epochs`;
  const future = new Set(epochs.filter((epoch) => epoch > (sequence?.last ?? 0)));
  if (future.size === 0) return future;
  deps.metrics.future_epochs.inc(future.size);
  deps.log.error(
    { epochs: [...future], last: sequence?.last },
    'an agent holds epochs that were never given out: was this database restored without raising them?',
  );
  return future;
};
