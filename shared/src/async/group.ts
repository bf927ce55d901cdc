/**
 * Runs named parts side by side (Go's errgroup): the first error aborts the others and is rethrown once all have ended;
 * the outer signal aborts them all. A part that returns early just leaves the group.
 */
export const group = async (
  parts: Record<string, (signal: AbortSignal) => Promise<void>>,
  outer: AbortSignal,
): Promise<void> => {
  const controller = new AbortController();
  const stop = () => controller.abort(outer.reason);
  if (outer.aborted) stop();
  outer.addEventListener('abort', stop, { once: true });
  let first: { error: unknown } | null = null;
  const run = async (name: string, part: (signal: AbortSignal) => Promise<void>) => {
    try {
      await part(controller.signal);
    } catch (error) {
      if (first === null && !controller.signal.aborted) {
        first = { error: error instanceof Error ? Object.assign(error, { part: name }) : error };
      }
      controller.abort(error);
    }
  };
  try {
    await Promise.all(Object.entries(parts).map(([name, part]) => run(name, part)));
  } finally {
    outer.removeEventListener('abort', stop);
  }
  // TypeScript cannot see the assignment inside `run`.
  const failed = first as { error: unknown } | null;
  if (failed !== null) throw failed.error;
};
