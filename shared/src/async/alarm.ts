import { sleep } from './sleep.ts';

/** A sleep that can be ended early, and remembers: what rings while nobody sleeps ends the next sleep at once. */
export type Alarm = {
  ring(): void;
  /** Waits `ms` milliseconds, until it rings (or has rung since the last sleep), or until the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Drops a ring that nobody slept through yet: whoever calls this does now what it rang for. */
  forget(): void;
};

export const createAlarm = (): Alarm => {
  let rung = false;
  let wake = () => {};
  return {
    ring: () => {
      // Under load it rings a hundred times before anybody wakes, and every abort would make an error of its own.
      if (rung) return;
      rung = true;
      wake();
    },
    sleep: async (ms, signal) => {
      const woken = new AbortController();
      wake = () => woken.abort();
      if (rung || signal.aborted) wake();
      signal.addEventListener('abort', wake, { once: true });
      await sleep(ms, woken.signal);
      signal.removeEventListener('abort', wake);
      rung = false;
    },
    forget: () => {
      rung = false;
    },
  };
};
