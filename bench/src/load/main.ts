// The load generator's own process: takes jobs from its parent one by one and answers what it measured.
import { type DispatchJob, runDispatch } from './dispatch.ts';
import { type HttpJob, runHttpLoad } from './http-loads.ts';
import { type IdleJob, runIdle } from './idle.ts';
import type { Measured } from './measure.ts';
import { runSqlLoad, type SqlJob } from './sql-loads.ts';
import { runStream, type StreamJob } from './stream.ts';

export type Job =
  | { kind: 'http'; job: HttpJob }
  | { kind: 'sql'; job: SqlJob }
  | { kind: 'dispatch'; job: DispatchJob }
  | { kind: 'stream'; job: StreamJob }
  | { kind: 'idle'; job: IdleJob };
export type Reply = { measured: Measured } | { error: string };

const run = ({ kind, job }: Job): Promise<Measured> => {
  if (kind === 'http') return runHttpLoad(job);
  if (kind === 'sql') return runSqlLoad(job);
  if (kind === 'dispatch') return runDispatch(job);
  if (kind === 'stream') return runStream(job);
  return runIdle(job);
};

process.on('message', (message: Job) => {
  void run(message).then(
    (measured) => process.send?.({ measured } satisfies Reply),
    (error: unknown) => process.send?.({ error: String(error instanceof Error ? error.stack : error) } satisfies Reply),
  );
});
process.once('disconnect', () => process.exit());
