/** What has to end when a benchmark ends, however it ends: processes, connections, folders. Newest first. */
export type Scope = {
  /** Throws once it is closed; what was to end then ends all the same. */
  defer(end: () => unknown): void;
  close(): Promise<void>;
};

export const createScope = (): Scope => {
  const ends: (() => unknown)[] = [];
  let closed = false;
  let closing = Promise.resolve();
  const closeAll = async () => {
    for (let end = ends.pop(); end !== undefined; end = ends.pop()) {
      try {
        await end();
      } catch (error) {
        console.error(error); // the others must end all the same
      }
    }
  };
  return {
    defer: (end) => {
      ends.push(end);
      if (closed) throw new Error('the benchmark was interrupted');
    },
    // Again and again: what came late, and was told so, ends with the next one.
    close: () => {
      closed = true;
      closing = closing.then(closeAll);
      return closing;
    },
  };
};

/** Runs `work` with a scope of its own inside `parent`: closed with it when that is interrupted. */
export const within = async <T>(parent: Scope, work: (scope: Scope) => Promise<T>): Promise<T> => {
  const scope = createScope();
  parent.defer(() => scope.close());
  try {
    return await work(scope);
  } finally {
    await scope.close();
  }
};
