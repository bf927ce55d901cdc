import { pino } from 'pino';

import { readConfig } from './config.ts';
import { toAppError } from './http/errors.ts';
import { runCoordinator } from './run.ts';
import { explainStartFailure } from './start-failure.ts';

/** Beyond this a stop is not clean any more: say so and go. */
const HARD_STOP_MS = 25_000;

const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (stop.signal.aborted) return;
    stop.abort(new Error(name));
    setTimeout(() => {
      process.stderr.write('the coordinator did not stop in time\n');
      process.exit(1);
    }, HARD_STOP_MS).unref();
  });
}

/**
 * A database driver that loses a connection may throw outside of any promise: postgres.js while it writes
 * (docs/adr/0009), BullMQ's pg client when Postgres ends. The pools reconnect; anything else is a bug and ends us.
 */
const isDriverError = (error: Error): boolean =>
  toAppError(error).code === 'unavailable' ||
  /nextWrite|node_modules[/\\](?:postgres|pg|pg-pool|bullmq)[/\\]/.test(error.stack ?? '');

try {
  const config = readConfig();
  // Stdout carries the one `listening` line for scripts; everything else goes to stderr.
  const log = pino(
    {
      level: config.FLOTILLA_LOG_LEVEL,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      errorKey: 'error',
      redact: ['*.token', '*.authorization'],
    },
    pino.destination(2),
  );
  process.on('uncaughtException', (error) => {
    log.error({ error }, 'an error outside of any request');
    if (!isDriverError(error)) process.exit(1);
  });
  await runCoordinator(
    config,
    log,
    {
      listening: (url) => process.stdout.write(`${JSON.stringify({ event: 'listening', url })}\n`),
      adminToken: (token) => process.stderr.write(`The admin token, shown this once: ${token}\n`),
    },
    stop.signal,
  );
  process.exit(0);
} catch (error) {
  if (stop.signal.aborted) process.exit(0);
  const explained = explainStartFailure(error);
  process.stderr.write(
    explained === null ? `${error instanceof Error ? error.stack : String(error)}\n` : `${explained}\n`,
  );
  process.exit(explained === null ? 1 : 2);
}
