import { setTimeout as sleep } from 'node:timers/promises';

import { backoffDelay, pace } from '@flotilla/shared';

import { createLines } from './lines.ts';
import type { Tally } from './tally.ts';

/** Creates tasks at a steady rate, each until it is acknowledged, under a key of its own: none is there twice. */
export const feed = (
  options: { url: string; admin_token: string; per_s: number; tally: Tally; name: string },
  created: (id: number) => void = () => {},
): { stop(): Promise<void> } => {
  const { url, admin_token: token, per_s, tally, name } = options;
  const lines = createLines(new URL(url), tally);
  const stopped = new AbortController();
  let next = 0;
  const began = performance.now();
  const create = async (index: number) => {
    const headers = `idempotency-key: ${name}-${index}\r\n`;
    const body = { title: `${name} ${index}` };
    for (let tries = 0; ; tries++) {
      try {
        const answer = await lines.request({
          method: 'POST',
          path: '/tasks',
          token,
          body,
          headers,
          deadline_ms: 10_000,
        });
        if (answer.status < 300) {
          tally.add('created');
          return created((JSON.parse(answer.body) as { id: number }).id);
        }
        if (answer.status < 500) throw new Error(`a task was refused: ${answer.body}`);
      } catch (error) {
        if ((error as Error).name !== 'NoAnswerError') throw error;
      }
      await sleep(backoffDelay(tries, pace.claim));
    }
  };
  // A few side by side: a creation that waits for its answer must not hold up the rate.
  const lane = async () => {
    while (!stopped.signal.aborted) {
      const index = next++;
      const due_ms = began + (index * 1000) / per_s - performance.now();
      if (due_ms > 0) await sleep(due_ms);
      if (!stopped.signal.aborted) await create(index);
    }
  };
  const lanes = Promise.all(Array.from({ length: 8 }, lane));
  return {
    stop: async () => {
      stopped.abort();
      await lanes;
      lines.close();
    },
  };
};
