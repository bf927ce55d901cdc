export * from './agents.ts';
export * from './attachments.ts';
export * from './comments.ts';
export * from './records.ts';
export * from './reviews.ts';
export * from './search.ts';
export * from './tasks.ts';
export * from './tenancy.ts';
