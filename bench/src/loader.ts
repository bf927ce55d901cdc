import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import type { Job, Reply } from './load/main.ts';
import type { Measured } from './load/measure.ts';

export type Loader = { pid: number; run(job: Job): Promise<Measured>; close(): void };

/** A load generator in a process of its own: what it computes is not counted to whom it measures. */
export const startLoader = (): Loader => {
  const child = fork(join(import.meta.dirname, 'load/main.ts'), { execArgv: ['--import', 'tsx'] });
  process.once('exit', () => child.kill());
  return {
    pid: child.pid ?? 0,
    run: async (job) => {
      child.send(job);
      const [reply] = (await once(child, 'message')) as [Reply];
      if ('error' in reply) throw new Error(reply.error);
      return reply.measured;
    },
    close: () => child.kill(),
  };
};
