import { connect, type ConnectionFacts, type Pool } from '../db/client.ts';

/** Closes the connection at once and makes `error` the outcome, whatever waits on it. */
export type Leave = (error: unknown) => Promise<never>;

/**
 * Works over one connection. An abort closes it, which ends even a long statement: Postgres then rolls back. The error
 * that comes out is the first cause, not that something could not go on without its connection.
 */
export const withConnection = async <T>(
  facts: ConnectionFacts,
  { name, signal }: { name: string; signal: AbortSignal },
  work: (pool: Pool, leave: Leave) => Promise<T>,
): Promise<T> => {
  signal.throwIfAborted();
  const pool = connect(facts, { max: 1, name });
  const causes: unknown[] = [];
  const leave: Leave = async (error) => {
    causes.push(error);
    await pool.end({ timeout: 0 });
    throw error;
  };
  const onAbort = () => void leave(signal.reason).catch(() => {});
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await work(pool, leave);
  } catch (error) {
    throw causes.length > 0 ? causes[0] : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    await pool.end({ timeout: 5 });
  }
};
