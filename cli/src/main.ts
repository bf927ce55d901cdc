#!/usr/bin/env node
import { randomUUID } from 'node:crypto';

import { CommanderError } from 'commander';

import type { Cli } from './cli.ts';
import { readEnv } from './config.ts';
import { DryRunDone, exitCodes, Interrupted, ProgramFailed } from './exit.ts';
import { renderError, toCliError } from './output/error.ts';
import { createProgram } from './program.ts';

const interrupt = new AbortController();

// The second Ctrl-C does not wait for anything.
process.on('SIGINT', () => {
  if (interrupt.signal.aborted) process.exit(exitCodes.interrupted);
  interrupt.abort(new Interrupted());
});

// `| head` closed the pipe: whoever reads has enough, and that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.failed),
  );
}

const exitCodeOf = (error: unknown): number => {
  if (error instanceof DryRunDone) return exitCodes.ok;
  if (error instanceof Interrupted || interrupt.signal.aborted) return exitCodes.interrupted;
  if (error instanceof ProgramFailed) return error.exit_code;
  if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
  // A noun without a verb: the help is the message, and it is printed already.
  if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.usage;
  const known = toCliError(error);
  process.stderr.write(renderError(known, process.stderr));
  return exitCodes[known.exit];
};

const cli: Cli = {
  env: readEnv(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: interrupt.signal,
  now: Date.now,
  randomUUID,
};

try {
  await createProgram(cli).parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}
