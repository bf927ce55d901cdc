import { type Logger, pino } from 'pino';

export type { Logger };

/** JSON lines on stderr, written synchronously and without a worker thread: a line before a crash is a line kept. */
export const createLogger = (level: string): Logger => {
  const stderr = pino.destination({ fd: 2, sync: true });
  // A log reader that went away must not take the daemon along.
  stderr.on('error', () => {});
  return pino({ level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, stderr);
};
