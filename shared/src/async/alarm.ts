/** A sleep that can be ended early, and remembers: what rings while nobody sleeps ends the next sleep at once. */
export type Alarm = {
  ring(): void;
  /** Waits `ms` milliseconds, until it rings (or has rung since the last sleep), or until the signal aborts. One at a time. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Drops a ring that nobody slept through yet: whoever calls this does now what it rang for. */
  forget(): void;
};

/** Its own timer and promise: a controller to abort `sleep` with, and the error of each abort, cost ten times as much. */
export const createAlarm = (): Alarm => {
  let rung = false;
  let wake = () => {};
  return {
    ring: () => {
      rung = true;
      wake();
    },
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => wake(), Math.max(0, ms));
        wake = () => {
          wake = () => {};
          clearTimeout(timer);
          signal.removeEventListener('abort', wakeBySignal);
          rung = false;
          resolve();
        };
        const wakeBySignal = () => wake();
        if (rung || signal.aborted) wake();
        else signal.addEventListener('abort', wakeBySignal, { once: true });
      }),
    forget: () => {
      rung = false;
    },
  };
};
