// The load generator's own process: takes jobs from its parent one by one and answers what it measured.
import { type HttpJob, runHttpLoad } from './http-loads.ts';
import type { Measured } from './measure.ts';
import { runSqlLoad, type SqlJob } from './sql-loads.ts';

export type Job = { kind: 'http'; job: HttpJob } | { kind: 'sql'; job: SqlJob };
export type Reply = { measured: Measured } | { error: string };

const run = ({ kind, job }: Job): Promise<Measured> => (kind === 'http' ? runHttpLoad(job) : runSqlLoad(job));

process.on('message', (message: Job) => {
  void run(message).then(
    (measured) => process.send?.({ measured } satisfies Reply),
    (error: unknown) => process.send?.({ error: String(error instanceof Error ? error.stack : error) } satisfies Reply),
  );
});
