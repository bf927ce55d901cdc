type Signals = {
  /** `count` more tasks of a queue class may be claimed. */
  work: [queue_class_id: number, count: number];
  /** The parked claim of an agent must end now: it drains, is disabled, or has a cancel to fetch. */
  interrupt: [agent_id: number];
  /** A task with a concurrency key ended: the next one of it may run. */
  key_freed: [];
  /** Rows without position exist: sequence them. */
  unsequenced: [];
  /** Events got their positions. */
  events: [];
  /** A log stream of an attempt grew or ended. */
  log: [attempt_id: number];
};
/** What can be raised. */
export type Signal = keyof Signals;
type Listener<K extends keyof Signals> = (...values: Signals[K]) => void;

/**
 * Hints inside one coordinator, never truth: whoever misses one finds out at the next rescan. Signals raised here are
 * `local` and travel on to the other coordinators; those that came from them are `remote` and do not.
 */
export type Hub = {
  raise<K extends keyof Signals>(signal: K, ...values: Signals[K]): void;
  remote<K extends keyof Signals>(signal: K, ...values: Signals[K]): void;
  /** Listens to both; returns the function that stops it. */
  on<K extends keyof Signals>(signal: K, listener: Listener<K>): () => void;
  onLocal<K extends keyof Signals>(signal: K, listener: Listener<K>): () => void;
};

export const createHub = (): Hub => {
  type AnyListener = (...values: number[]) => void;
  const all = new Map<keyof Signals, Set<AnyListener>>();
  const local = new Map<keyof Signals, Set<AnyListener>>();
  const add = (to: typeof all, signal: keyof Signals, listener: AnyListener) => {
    const set = to.get(signal) ?? new Set();
    to.set(signal, set);
    set.add(listener);
    return () => void set.delete(listener);
  };
  const tell = (to: typeof all, signal: keyof Signals, values: number[]) =>
    to.get(signal)?.forEach((listener) => listener(...values));
  return {
    raise: (signal, ...values) => {
      tell(all, signal, values);
      tell(local, signal, values);
    },
    remote: (signal, ...values) => tell(all, signal, values),
    // Every signal carries numbers only, so one listener shape serves the map; the public types say which.
    on: (signal, listener) => add(all, signal, listener as AnyListener),
    onLocal: (signal, listener) => add(local, signal, listener as AnyListener),
  };
};
