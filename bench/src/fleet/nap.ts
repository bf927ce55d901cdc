/**
 * A sleep that can be ended early. Thousands of hosts sleep most of their time: this costs a timer and a closure, where
 * an abort signal per sleep costs a kilobyte.
 */
export type Nap = { take(ms: number): Promise<void>; wake(): void };

export const createNap = (): Nap => {
  let end: (() => void) | null = null;
  return {
    take: (ms) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => end?.(), Math.max(0, ms));
        end = () => {
          clearTimeout(timer);
          end = null;
          resolve();
        };
      }),
    wake: () => end?.(),
  };
};
