import type { Pool, Sql } from './client.ts';

/**
 * The database as verbs see it. `transaction` opens one, or joins the one it is called in, so that a verb can be part
 * of a larger one (an idempotent creation). Hooks given to `afterCommit` run once the outermost one has committed; a
 * wake-up before that would find nothing.
 */
export type Database = {
  sql: Sql;
  transaction<T>(work: (db: Database) => Promise<T>): Promise<T>;
  afterCommit(hook: () => void): void;
};

export const createDatabase = (pool: Pool): Database => ({
  sql: pool,
  afterCommit: (hook) => hook(),
  transaction: async (work) => {
    const hooks: (() => void)[] = [];
    const result = await pool.begin((sql) => {
      const joined: Database = {
        sql,
        afterCommit: (hook) => void hooks.push(hook),
        transaction: (inner) => inner(joined),
      };
      return work(joined);
    });
    for (const hook of hooks) hook();
    return result as Awaited<ReturnType<typeof work>>; // postgres.js unwraps arrays of promises; a verb returns one value
  },
});
