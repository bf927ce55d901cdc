export { EmbeddedPostgresError } from './error.ts';
export { findRunningPostgres } from './running.ts';
export { startEmbeddedPostgres } from './start.ts';
export type { EmbeddedPostgres, StartOptions } from './start.ts';
