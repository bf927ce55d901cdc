/** Wakes loops that wait for "something changed". It carries no data: who wakes looks at the state itself. */
export type Notifier = {
  notify: () => void;
  /** Resolves at the next `notify`, after `ms`, or when the signal aborts; whoever waits checks which it was. */
  wait: (ms: number, signal: AbortSignal) => Promise<void>;
};

/** Creates a notifier without waiters. */
export const createNotifier = (): Notifier => {
  const waiters = new Set<() => void>();
  return {
    notify: () => {
      for (const wake of waiters) wake();
    },
    wait: (ms, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          waiters.delete(done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        signal.addEventListener('abort', done, { once: true });
        waiters.add(done);
      }),
  };
};

/**
 * A signal that aborts when the outer one does or when `condition` holds after some notification. Call `stop` when the
 * guarded work is done, or the watcher stays.
 */
export const abortWhen = (
  notifier: Notifier,
  condition: () => boolean,
  outer: AbortSignal,
): { signal: AbortSignal; stop: () => void } => {
  const controller = new AbortController();
  const watch = async () => {
    while (!controller.signal.aborted) {
      if (outer.aborted || condition()) return controller.abort();
      await notifier.wait(60_000, controller.signal);
    }
  };
  const abort = () => controller.abort(outer.reason);
  outer.addEventListener('abort', abort, { once: true });
  void watch();
  return {
    signal: controller.signal,
    stop: () => {
      outer.removeEventListener('abort', abort);
      controller.abort();
    },
  };
};
