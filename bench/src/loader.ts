import type { Job, Reply } from './load/main.ts';
import type { Measured } from './load/measure.ts';
import { hear, startNode } from './programs.ts';
import type { Scope } from './scope.ts';

export type Loader = { run(job: Job): Promise<Measured> };

/** A load generator in a process of its own: what it computes is not counted to whom it measures. */
export const startLoader = (scope: Scope): Loader => {
  const child = startNode(scope, 'load/main');
  return {
    run: async (job) => {
      child.send(job);
      const reply = await hear<Reply>(child);
      if ('error' in reply) throw new Error(reply.error);
      return reply.measured;
    },
  };
};
