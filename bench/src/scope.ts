/** What has to end when a benchmark ends, however it ends: processes, connections, folders. Newest first. */
export type Scope = {
  defer(end: () => unknown): void;
  close(): Promise<void>;
};

export const createScope = (): Scope => {
  const ends: (() => unknown)[] = [];
  let closing: Promise<void> | null = null;
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
    defer: (end) => void ends.push(end),
    close: () => (closing ??= closeAll().finally(() => (closing = null))),
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
