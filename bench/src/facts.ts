/** Where a Postgres is. */
export type Facts = { host: string; port: number; user: string; database: string };
