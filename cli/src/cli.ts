import type { Env } from './config.ts';

/** What the process gives its commands: time, randomness and the terminal are inputs, so that nothing below reaches out. */
export type Cli = {
  env: Env;
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  /** Aborted with `Interrupted` on Ctrl-C. */
  signal: AbortSignal;
  now: () => number;
  randomUUID: () => string;
};

/** One line for a person, on stderr. */
export const say = (cli: Cli, line: string): void => {
  cli.stderr.write(`${line}\n`);
};
