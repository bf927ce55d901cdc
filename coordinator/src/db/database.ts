import { within } from '@flotilla/shared';

import type { Pool, Sql } from './client.ts';

/**
 * The driver can lose a query whose connection dies while it is written (porsager/postgres #1154, #1208): its promise
 * never settles. No transaction of ours takes a fraction of this; one that does has failed, and must not hold up the
 * batch of claims or beats behind it.
 */
const TRANSACTION_MS = 20_000;

/**
 * The database as verbs see it. `transaction` opens one, or joins the one it is called in, so that a verb can be part
 * of a larger one (an idempotent creation). Hooks given to `afterCommit` run once the outermost one has committed; a
 * wake-up before that would find nothing.
 */
export type Database = {
  sql: Sql;
  /** Already within a transaction: what is called now must be part of it, and may not share another one's. */
  joined: boolean;
  transaction<T>(work: (db: Database) => Promise<T>): Promise<T>;
  afterCommit(hook: () => void): void;
};

/** A statement on its own that others wait for: it fails as late as a transaction does. */
export const inTime = <T>(statement: PromiseLike<T>): Promise<T> =>
  within(TRANSACTION_MS, 'a database statement', Promise.resolve(statement));

/** A read whose best plan depends on its values, like a search for words that are in every task, or in one. */
export const plannedAnew = <T>(db: Database, read: (sql: Sql) => Promise<T>): Promise<T> =>
  db.transaction(async ({ sql }) => {
    await sql`set local plan_cache_mode = force_custom_plan`;
    return read(sql);
  });

export const createDatabase = (pool: Pool): Database => ({
  sql: pool,
  joined: false,
  afterCommit: (hook) => hook(),
  transaction: async (work) => {
    const hooks: (() => void)[] = [];
    const running = pool.begin((sql) => {
      const joined: Database = {
        sql,
        joined: true,
        afterCommit: (hook) => void hooks.push(hook),
        transaction: (inner) => inner(joined),
      };
      return work(joined);
    });
    const result = await within(TRANSACTION_MS, 'a database transaction', running);
    for (const hook of hooks) hook();
    return result as Awaited<ReturnType<typeof work>>; // postgres.js unwraps arrays of promises; a verb returns one value
  },
});
