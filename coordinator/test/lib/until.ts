import { sleep } from '@flotilla/shared';

const never = new AbortController().signal;

/** Waits until `probe` answers something truthy, and answers that; throws with the last answer when it takes too long. */
export const until = async <T>(what: string, probe: () => T | Promise<T>, timeout_ms = 10_000): Promise<T> => {
  const deadline = performance.now() + timeout_ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeout_ms} ms for: ${what}`);
    await sleep(5, never);
  }
};

/** Runs a background loop of the coordinator while `work` runs, and stops it before answering. */
export const during = async <T>(loop: (signal: AbortSignal) => Promise<void>, work: () => Promise<T>): Promise<T> => {
  const stop = new AbortController();
  const running = loop(stop.signal);
  try {
    return await work();
  } finally {
    stop.abort();
    await running;
  }
};
