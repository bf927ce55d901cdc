import { connect, type ConnectionFacts, type Pool } from '../db/client.ts';

/** Ends the connection at once and makes `cause` the outcome, whatever waits on it. */
export type Leave = (cause: unknown) => Promise<never>;

/**
 * Ends what a connection does, seen from the server: a statement goes on after its client has gone, and the driver
 * never closes a socket that it paused because nobody read the rows of a COPY.
 */
const terminate = async (facts: ConnectionFacts, name: string, pid: number): Promise<void> => {
  const other = connect(facts, { max: 1, name });
  try {
    await other`select pg_terminate_backend(pid) from pg_stat_activity where pid = ${pid} and application_name = ${name}`;
  } finally {
    await other.end({ timeout: 5 });
  }
};

/**
 * Works over one connection. An abort ends it, which ends even a long statement: Postgres then rolls back. The error
 * that comes out is the first cause, not that something could not go on without its connection.
 */
export const withConnection = async <T>(
  facts: ConnectionFacts,
  { name, signal }: { name: string; signal: AbortSignal },
  work: (pool: Pool, leave: Leave) => Promise<T>,
): Promise<T> => {
  signal.throwIfAborted();
  const pool = connect(facts, { max: 1, name, lasting: true });
  const causes: unknown[] = [];
  let pid: number | undefined;
  const leave: Leave = async (cause) => {
    causes.push(cause);
    // Without a second connection the server finds out by itself, later.
    if (pid !== undefined) await terminate(facts, name, pid).catch(() => {});
    await pool.end({ timeout: 0 });
    throw cause;
  };
  const onAbort = () => void leave(signal.reason).catch(() => {});
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    [{ pid }] = await pool<[{ pid: number }]>`select pg_backend_pid() as pid`;
    return await work(pool, leave);
  } catch (error) {
    throw causes.length > 0 ? causes[0] : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    await pool.end({ timeout: 5 });
  }
};
