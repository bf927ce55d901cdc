export { EmbeddedPostgresError } from './error.ts';
export { startEmbeddedPostgres } from './start.ts';
export type { EmbeddedPostgres, StartOptions } from './start.ts';
