import { z } from 'zod';

const milliseconds = (fallback: number) =>
  z.coerce
    .number()
    .int()
    .min(1)
    .max(31 * 86_400_000)
    .default(fallback);

/**
 * Everything the coordinator reads from its environment. Durations are milliseconds. The defaults are the protocol's;
 * tests shorten them.
 */
const Environment = z.object({
  /** Address to listen on. Anything but loopback needs FLOTILLA_INSECURE=1 until TLS is configured in front. */
  FLOTILLA_HOST: z.string().min(1).default('127.0.0.1'),
  /** TCP port; 0 takes a free one, shown in the `listening` line. */
  FLOTILLA_PORT: z.coerce.number().int().min(0).max(65_535).default(7700),
  /** Allows plain HTTP on an address that other machines reach (a TLS proxy in front, or a closed network). */
  FLOTILLA_INSECURE: z.stringbool().default(false),
  /** Where the bundled Postgres keeps its cluster. */
  FLOTILLA_DATA_DIR: z.string().min(1).default('./.flotilla'),
  /** Admin API token of the first workspace; without it one is made at the first start and shown once. */
  FLOTILLA_ADMIN_TOKEN: z
    .string()
    .regex(/^[\x20-\x7e]*$/, 'use printable ASCII: it travels in a header')
    .min(32, 'use at least 32 characters')
    .max(500)
    .optional(),
  /**
   * External Postgres ≥15, reached directly (no transaction-pooling proxy); without it the bundled one runs. A unix socket:
   * postgres:///flotilla?host=/run/postgresql
   */
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'use a URL like postgres://user@host/database')
    .optional(),
  /**
   * Redis ≥6.2 for background jobs; without it they live in Postgres. redis://user:password@host:6379/db, rediss:// for
   * TLS, or a unix socket: unix:///run/redis/redis.sock?db=1&password=…
   */
  REDIS_URL: z
    .string()
    .regex(/^(rediss?:\/\/|unix:\/\/\/)/, 'use a URL like redis://host:6379 or unix:///run/redis/redis.sock')
    .optional(),
  /** Connections to Postgres for the API and the loops. */
  FLOTILLA_DB_CONNECTIONS: z.coerce.number().int().min(3).max(500).default(20),
  FLOTILLA_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  /** How often agents beat. */
  FLOTILLA_HEARTBEAT_MS: milliseconds(10_000),
  /** Silence after which an agent is suspect, and after which it is shown as offline. Labels only. */
  FLOTILLA_SUSPECT_MS: milliseconds(25_000),
  FLOTILLA_LOST_MS: milliseconds(45_000),
  /** How long a claim is good without a renewal, and the extra time before its task is given away. */
  FLOTILLA_LEASE_MS: milliseconds(90_000),
  FLOTILLA_REQUEUE_GRACE_MS: milliseconds(30_000),
  /** Lease of agents that only poll. */
  FLOTILLA_POLL_LEASE_MS: milliseconds(600_000),
  /** Beyond timeout_s a lease is renewed this much longer: the time a host may need to stop a process tree. */
  FLOTILLA_KILL_GRACE_MS: milliseconds(60_000),
  /** How long a `hold` task waits for its host. */
  FLOTILLA_HOLD_MS: milliseconds(24 * 3_600_000),
  /** Parked claims look again this often, whatever hints say. */
  FLOTILLA_RESCAN_MS: milliseconds(5_000),
  /** Pause between passes of expiry and of the loop that releases deferred tasks. */
  FLOTILLA_SWEEP_MS: milliseconds(1_000),
  /** How often the coordinator notes that it lives, and the silence of all coordinators that counts as a gap. */
  FLOTILLA_ALIVE_MS: milliseconds(5_000),
  FLOTILLA_GAP_MS: milliseconds(20_000),
  /** After a gap expiry waits half its length, within these bounds. */
  FLOTILLA_GAP_WAIT_MIN_MS: milliseconds(60_000),
  FLOTILLA_GAP_WAIT_MAX_MS: milliseconds(300_000),
  /** Mass silence: half of ≥4 agents lost within the window stops all requeueing for the hold time. */
  FLOTILLA_MASS_SILENCE_WINDOW_MS: milliseconds(120_000),
  FLOTILLA_MASS_SILENCE_HOLD_MS: milliseconds(900_000),
  /** Back-off of retryable failures: full jitter, doubling from min to max. */
  FLOTILLA_RETRY_MIN_MS: milliseconds(5_000),
  FLOTILLA_RETRY_MAX_MS: milliseconds(600_000),
  /** Stored log bytes per stream of one attempt; what exceeds it is counted but not kept, and shown as truncated. */
  FLOTILLA_MAX_LOG_BYTES: z.coerce
    .number()
    .int()
    .min(1024)
    .default(256 * 1_048_576),
  /** A file that an attempt leaves with its result, and all of them together. They live as long as their task. */
  FLOTILLA_MAX_ATTACHMENT_BYTES: z.coerce
    .number()
    .int()
    .min(1024)
    .default(64 * 1_048_576),
  FLOTILLA_MAX_ATTEMPT_ATTACHMENT_BYTES: z.coerce
    .number()
    .int()
    .min(1024)
    .default(256 * 1_048_576),
  /** With less of its disk free (percent) a coordinator with the bundled Postgres takes no new tasks; results still land. */
  FLOTILLA_MIN_FREE_PERCENT: z.coerce.number().min(0).max(99).default(5),
  /** Retention of events, of the logs of ended attempts, and of deleted tasks. */
  FLOTILLA_EVENT_RETENTION_MS: milliseconds(7 * 86_400_000),
  FLOTILLA_LOG_RETENTION_MS: milliseconds(30 * 86_400_000),
  FLOTILLA_DELETED_RETENTION_MS: milliseconds(7 * 86_400_000),
  /** How often retention runs (a background job). */
  FLOTILLA_RETENTION_EVERY_MS: milliseconds(3_600_000),
  /** Time open requests get at SIGTERM before their connections are closed. */
  FLOTILLA_SHUTDOWN_MS: milliseconds(5_000),
});

export type Config = z.infer<typeof Environment>;

export class ConfigError extends Error {
  override name = 'ConfigError';
}

const isLoopback = (host: string) => host === 'localhost' || host === '::1' || host.startsWith('127.');

/** Reads and checks the environment; a bad value ends in one sentence per variable, never a stack trace. */
export const readConfig = (environment: NodeJS.ProcessEnv = process.env): Config => {
  // An empty variable means "not set", as every shell script expects.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = Environment.safeParse(given);
  if (!parsed.success) {
    throw new ConfigError(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('\n'));
  }
  const config = parsed.data;
  if (!isLoopback(config.FLOTILLA_HOST) && !config.FLOTILLA_INSECURE) {
    throw new ConfigError(
      `FLOTILLA_HOST: ${config.FLOTILLA_HOST} is reachable from other machines without TLS; put a TLS proxy in front and listen on 127.0.0.1, or set FLOTILLA_INSECURE=1`,
    );
  }
  if (config.FLOTILLA_SUSPECT_MS <= config.FLOTILLA_HEARTBEAT_MS) {
    throw new ConfigError('FLOTILLA_SUSPECT_MS: must be longer than FLOTILLA_HEARTBEAT_MS, or every agent is suspect');
  }
  if (config.FLOTILLA_LOST_MS < config.FLOTILLA_SUSPECT_MS) {
    throw new ConfigError('FLOTILLA_LOST_MS: must not be shorter than FLOTILLA_SUSPECT_MS');
  }
  if (config.FLOTILLA_LOST_MS >= config.FLOTILLA_LEASE_MS + config.FLOTILLA_REQUEUE_GRACE_MS) {
    throw new ConfigError('FLOTILLA_LOST_MS: must be shorter than FLOTILLA_LEASE_MS + FLOTILLA_REQUEUE_GRACE_MS');
  }
  return config;
};
