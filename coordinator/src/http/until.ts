/** A signal for as long as one request waits. Whoever asked for it must `release` it when the waiting is over. */
export type Until = { signal: AbortSignal; release(): void };

/** Makes signals that abort with a request or with the server, whichever comes first. */
export type MakeUntil = (request: AbortSignal) => Until;

/**
 * Not `AbortSignal.any`: it leaves a weak reference in the server's signal for every request, and on Node 20 nobody ever
 * clears them (70 bytes per parked poll, some hundred MB a day under a busy fleet). One listener and a set instead.
 */
export const createUntil = (stopping: AbortSignal): MakeUntil => {
  const waiting = new Set<AbortController>();
  stopping.addEventListener(
    'abort',
    () => {
      for (const controller of waiting) controller.abort(stopping.reason);
      waiting.clear();
    },
    { once: true },
  );
  return (request) => {
    const controller = new AbortController();
    const release = () => {
      waiting.delete(controller);
      request.removeEventListener('abort', stop);
    };
    const stop = () => {
      release();
      controller.abort(request.reason);
    };
    if (stopping.aborted) controller.abort(stopping.reason);
    else if (request.aborted) controller.abort(request.reason);
    else {
      waiting.add(controller);
      request.addEventListener('abort', stop, { once: true });
    }
    return { signal: controller.signal, release };
  };
};

/** The answer of a stream, which waits for longer than its handler runs. Its socket's end releases it as well. */
export async function* releasedAtEnd<T>(answer: AsyncIterable<T>, release: () => void): AsyncGenerator<T> {
  try {
    yield* answer;
  } finally {
    release();
  }
}
