import type { Hub } from '../hub.ts';
import type { Chunk } from './frames.ts';
import type { Stretch } from './read-stretch.ts';

/** An answer is good this long without a hint: readers look again every second. */
const GOOD_MS = 500;
const MAX_SHARED = 1_000;

/**
 * Telling one reader costs so much of a core (measured: 35 µs to write, as much for whoever reads on the same machine).
 * Readers are told again when the last time is paid: a few hear of each event at once, 500 of those of 40 ms together.
 */
const MS_PER_READER = 0.08;

/** What one audience gets of a stretch, and how far the stream has come with it. */
export type Told = { chunk: Chunk | null; newest: number; more: boolean };

/**
 * What live readers share: a thousand of them stand at the same place, and one query answers them all; those who may see
 * the same share the encoded answer, too. New events make every answer old.
 */
export type SharedReads = {
  stretch: Shared<Stretch>;
  told: Shared<Told>;
  /** Calls back when there may be news, as often as so many readers can be told. Answers the function that stops it. */
  onNews(listener: () => void): () => void;
};
type Shared<T> = { get(key: string, read: () => Promise<T>): Promise<T>; clear(): void };

/** `keep`: whether an answer is worth keeping; that of a replay is not. */
const createShared = <T>(keep: (answer: T) => boolean): Shared<T> => {
  const answers = new Map<string, { at: number; answer: Promise<T> }>();
  return {
    clear: () => answers.clear(),
    get: (key, read) => {
      const known = answers.get(key);
      if (known !== undefined && performance.now() - known.at < GOOD_MS) return known.answer;
      if (answers.size >= MAX_SHARED) answers.clear();
      const entry = { at: performance.now(), answer: read() };
      answers.set(key, entry);
      const drop = () => {
        if (answers.get(key) === entry) answers.delete(key);
      };
      entry.answer.then((answer) => keep(answer) || drop(), drop);
      return entry.answer;
    },
  };
};

export const createSharedReads = (hub: Hub): SharedReads => {
  const stretch = createShared<Stretch>(({ more }) => !more);
  const told = createShared<Told>(({ more }) => !more);
  const listeners = new Set<() => void>();
  let told_at = 0;
  let timer: NodeJS.Timeout | null = null;
  const tell = () => {
    timer = null;
    told_at = performance.now();
    for (const listener of listeners) listener();
  };
  hub.on('events', () => {
    stretch.clear();
    told.clear();
    const wait_ms = told_at + listeners.size * MS_PER_READER - performance.now();
    if (wait_ms <= 0) tell();
    else timer ??= setTimeout(tell, wait_ms).unref();
  });
  return {
    stretch,
    told,
    onNews: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
};
