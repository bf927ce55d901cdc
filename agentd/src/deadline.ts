/**
 * Runs one call with a time limit under an outer signal. Own code instead of `AbortSignal.any`: on Node 20 the
 * composite signals of a long-lived parent are kept for ever, and a daemon's parent signal lives as long as the daemon.
 */
export const withDeadline = async <T>(
  ms: number,
  outer: AbortSignal,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  const controller = new AbortController();
  const stop = () => controller.abort(outer.reason);
  if (outer.aborted) stop();
  outer.addEventListener('abort', stop, { once: true });
  const timer = setTimeout(() => controller.abort(new Error(`no answer within ${ms} ms`)), ms);
  try {
    return await call(controller.signal);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener('abort', stop);
  }
};
