/** What was waited for did not answer in time. It may still happen; nothing is known. */
export class DeadlineError extends Error {
  override name = 'DeadlineError';
}

/** Rejects with `DeadlineError` when a promise has not settled within `ms` milliseconds. The work itself is not stopped. */
export const within = async <T>(ms: number, what: string, work: Promise<T>): Promise<T> => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(`${what} did not end within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
};
