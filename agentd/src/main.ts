import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';

import { runAgent } from './agent.ts';
import { systemClock } from './clock.ts';
import { ConfigError, loadConfig } from './config.ts';
import { createCrashPoint } from './crash-point.ts';
import { readHost } from './host.ts';
import { makeDir } from './local/files.ts';
import type { Identity } from './local/identity.ts';
import { acquireLock, LockedError } from './local/lock.ts';
import { statePaths } from './local/paths.ts';
import { RegistrationError } from './local/register.ts';
import { createLogger } from './log.ts';

/** Detaching takes milliseconds; whatever hangs must not keep a host from shutting down. */
const DETACH_LIMIT_MS = 1_800;

const announceReady = ({ agent_id, name }: Identity): void => {
  process.stdout.write(`${JSON.stringify({ event: 'ready', agent_id, name })}\n`);
};

const main = async (): Promise<number> => {
  process.umask(0o077);
  setMaxListeners(0); // a hundred attempts wait for one detach signal: no leak, and no warning about one
  process.stdout.on('error', () => {}); // nobody reads "ready" any more
  const config = loadConfig(process.argv.slice(2));
  const log = createLogger(config.log_level);
  const paths = statePaths(config.state_dir);
  const host = readHost();

  const detach = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'asked to stop');
      detach.abort();
      setTimeout(() => process.exit(0), DETACH_LIMIT_MS).unref();
    });
  }

  await makeDir(paths.root);
  const lock = await acquireLock(paths.lock, host);
  const crash = createCrashPoint(config.crash_at);
  try {
    await runAgent(
      { config, paths, host, clock: systemClock, random: Math.random, newId: randomUUID, log, crash },
      announceReady,
      detach.signal,
    );
  } finally {
    await lock.release();
  }
  return 0;
};

/** What an operator can put right is said in one sentence; only a defect of ours shows a stack. */
const explain = (error: unknown): number => {
  if (error instanceof ConfigError) {
    for (const sentence of error.sentences) process.stderr.write(`${sentence}\n`);
    return 2;
  }
  const plain =
    error instanceof LockedError ||
    error instanceof RegistrationError ||
    (error as NodeJS.ErrnoException).syscall !== undefined;
  process.stderr.write(
    `agentd cannot run: ${plain ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`,
  );
  return 1;
};

process.exit(await main().catch(explain));
