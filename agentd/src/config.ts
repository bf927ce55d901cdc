// Longer than most: every setting of agentd, with its rule and its remedy, in one place.
import { readFileSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { basename, join, resolve } from 'node:path';

import { Name } from '@flotilla/shared';
import { z } from 'zod';

import { crashLabels } from './crash-point.ts';

/** Names every task gets when agentd has them; everything else of agentd's environment stays out. */
const INHERITED = /^(PATH|HOME|LANG|LC_[A-Z]+|TZ|USER|LOGNAME|SHELL)$/;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, 'it is not a whole number')
    .transform(Number)
    .pipe(z.int().min(min, `it is below ${min}`).max(max, `it is above ${max}`));

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const Duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'it is not a duration')
  // The regex above lets only these units through.
  .transform((value) => Number.parseInt(value, 10) * units[value.replace(/^\d+/, '') as keyof typeof units]);

const Command = z
  .string()
  .transform((value, context): unknown => {
    try {
      return JSON.parse(value);
    } catch {
      context.addIssue({ code: 'custom', message: 'it is not JSON' });
      return z.NEVER;
    }
  })
  .pipe(
    z
      .array(
        z.string('every element must be a string').refine((part) => !part.includes('\0'), 'it contains a NUL'),
        'it is not a JSON array',
      )
      .min(1, 'it is empty'),
  );

const Path = z.string().min(1, 'it is empty');

const EnvNames = z
  .string()
  .transform((value) =>
    value
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== ''),
  )
  .pipe(
    z.array(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'it holds something that is not a variable name')
        .refine((name) => !name.startsWith('FLOTILLA_'), 'FLOTILLA_ variables are never passed on'),
    ),
  );

const Url = z
  .string()
  .refine(
    (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
    'it is not an http:// or https:// address',
  )
  .refine(
    (value) => !URL.canParse(value) || new URL(value).username === '',
    'it must not contain a user name or password',
  )
  .transform((value) => value.replace(/\/+$/, ''));

/** Every setting: its rule, and the remedy that is printed when the rule is broken. The README documents the same keys. */
const settings = {
  FLOTILLA_URL: {
    rule: Url,
    remedy: 'set it to the address of the coordinator, for example https://flotilla.example.com',
  },
  FLOTILLA_JOIN_TOKEN: {
    rule: z.string().min(1, 'it is empty').optional(),
    remedy: 'set it to a join token, or better use FLOTILLA_JOIN_TOKEN_FILE',
  },
  FLOTILLA_JOIN_TOKEN_FILE: {
    rule: z.string().min(1, 'it is empty').optional(),
    remedy: 'set it to the path of a file that holds a join token',
  },
  FLOTILLA_STATE_DIR: {
    rule: z.string().min(1, 'it is empty').optional(),
    remedy: 'set it to a directory that only agentd writes to',
  },
  FLOTILLA_AGENT_NAME: {
    rule: Name.optional(),
    remedy: 'use 1–63 of a–z, 0–9, ".", "_" and "-", starting with a letter or digit',
  },
  FLOTILLA_SLOTS: {
    rule: whole(1, 1024).default(1),
    remedy: 'set it to the number of tasks to run at a time, 1 to 1024',
  },
  FLOTILLA_EXECUTOR: {
    rule: z.enum(['command', 'openclaw'], 'it is neither "command" nor "openclaw"').default('command'),
    remedy: 'set it to command or openclaw, or leave it out',
  },
  FLOTILLA_COMMAND: {
    rule: Command.optional(),
    remedy: 'set it to the argv to run as a JSON array, for example ["my-agent","--file","{prompt_file}"]',
  },
  FLOTILLA_OPENCLAW_BIN: {
    rule: Path.default('openclaw'),
    remedy: 'set it to the path of openclaw, or leave it out when openclaw is in PATH',
  },
  FLOTILLA_OPENCLAW_NODE: {
    rule: Path.refine((path) => basename(path) === 'node', 'its last part is not "node"').optional(),
    remedy: 'set it to the path of a node that OpenClaw supports, for example /opt/node24/bin/node',
  },
  FLOTILLA_OPENCLAW_CONFIG: {
    rule: Path.optional(),
    remedy: 'set it to the path of an OpenClaw configuration in JSON, with models.providers and their keys as ${NAME}',
  },
  FLOTILLA_OPENCLAW_ENV_FILE: {
    rule: Path.optional(),
    remedy: 'set it to the path of a file (0600) of NAME=value lines that only OpenClaw gets',
  },
  FLOTILLA_OPENCLAW_MODEL: {
    rule: z.string().min(1, 'it is empty').optional(),
    remedy: 'set it to the model of tasks that name none, for example anthropic/claude-sonnet-4-6',
  },
  FLOTILLA_OPENCLAW_SOUL_FILE: {
    rule: Path.optional(),
    remedy: 'set it to the path of a text that is given to every task as SOUL.md',
  },
  FLOTILLA_KILL_GRACE_MS: {
    rule: whole(0, 600_000).default(10_000),
    remedy: 'set it to milliseconds between TERM and KILL, 0 to 600000',
  },
  FLOTILLA_LOG_POLL_MS: {
    rule: whole(10, 60_000).default(250),
    remedy: 'set it to milliseconds between two looks at the output, 10 to 60000',
  },
  FLOTILLA_MAX_LOG_BYTES: {
    rule: whole(1024, 2 ** 40).default(64 * 1024 * 1024),
    remedy: 'set it to the bytes of log kept per stream, at least 1024',
  },
  FLOTILLA_PASS_ENV: {
    rule: EnvNames.default([]),
    remedy: 'list variable names separated by commas, for example ANTHROPIC_API_KEY,HTTPS_PROXY',
  },
  FLOTILLA_WORKDIR_RETENTION: {
    rule: Duration.default(86_400_000),
    remedy: 'use a number and a unit (ms, s, m, h, d), for example 24h',
  },
  FLOTILLA_LOG_LEVEL: {
    rule: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'it is not a log level')
      .default('info'),
    remedy: 'use trace, debug, info, warn, error, fatal or silent',
  },
  FLOTILLA_INSECURE: {
    rule: z.stringbool({ error: 'it is not a yes or no' }).default(false),
    remedy: 'set it to 1 or 0',
  },
  FLOTILLA_CRASH_AT: {
    rule: z.enum(crashLabels, 'it is not a crash label').optional(),
    remedy: 'leave it out; it exists for tests',
  },
};
const Settings = z.object({
  FLOTILLA_URL: settings.FLOTILLA_URL.rule,
  FLOTILLA_JOIN_TOKEN: settings.FLOTILLA_JOIN_TOKEN.rule,
  FLOTILLA_JOIN_TOKEN_FILE: settings.FLOTILLA_JOIN_TOKEN_FILE.rule,
  FLOTILLA_STATE_DIR: settings.FLOTILLA_STATE_DIR.rule,
  FLOTILLA_AGENT_NAME: settings.FLOTILLA_AGENT_NAME.rule,
  FLOTILLA_SLOTS: settings.FLOTILLA_SLOTS.rule,
  FLOTILLA_EXECUTOR: settings.FLOTILLA_EXECUTOR.rule,
  FLOTILLA_COMMAND: settings.FLOTILLA_COMMAND.rule,
  FLOTILLA_OPENCLAW_BIN: settings.FLOTILLA_OPENCLAW_BIN.rule,
  FLOTILLA_OPENCLAW_NODE: settings.FLOTILLA_OPENCLAW_NODE.rule,
  FLOTILLA_OPENCLAW_CONFIG: settings.FLOTILLA_OPENCLAW_CONFIG.rule,
  FLOTILLA_OPENCLAW_ENV_FILE: settings.FLOTILLA_OPENCLAW_ENV_FILE.rule,
  FLOTILLA_OPENCLAW_MODEL: settings.FLOTILLA_OPENCLAW_MODEL.rule,
  FLOTILLA_OPENCLAW_SOUL_FILE: settings.FLOTILLA_OPENCLAW_SOUL_FILE.rule,
  FLOTILLA_KILL_GRACE_MS: settings.FLOTILLA_KILL_GRACE_MS.rule,
  FLOTILLA_LOG_POLL_MS: settings.FLOTILLA_LOG_POLL_MS.rule,
  FLOTILLA_MAX_LOG_BYTES: settings.FLOTILLA_MAX_LOG_BYTES.rule,
  FLOTILLA_PASS_ENV: settings.FLOTILLA_PASS_ENV.rule,
  FLOTILLA_WORKDIR_RETENTION: settings.FLOTILLA_WORKDIR_RETENTION.rule,
  FLOTILLA_LOG_LEVEL: settings.FLOTILLA_LOG_LEVEL.rule,
  FLOTILLA_INSECURE: settings.FLOTILLA_INSECURE.rule,
  FLOTILLA_CRASH_AT: settings.FLOTILLA_CRASH_AT.rule,
});

type Env = Record<string, string | undefined>;

/** One sentence per wrong field, each with its remedy. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly sentences: readonly string[];
  constructor(sentences: readonly string[]) {
    super(sentences.join('\n'));
    this.sentences = sentences;
  }
}

const configPath = (argv: readonly string[], env: Env): string | null => {
  const [first, second, ...rest] = argv;
  if (first === undefined) return env.FLOTILLA_CONFIG ?? null;
  if (first.startsWith('--config=') && second === undefined) return first.slice('--config='.length);
  if (first === '--config' && second !== undefined && rest.length === 0) return second;
  throw new ConfigError([
    `agentd does not understand the arguments "${argv.join(' ')}": use --config file.json, or none and FLOTILLA_ variables.`,
  ]);
};

const readConfigFile = (path: string): Env => {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new ConfigError([
      `The config file ${path} cannot be used (${(error as Error).message}): make it a readable JSON object with FLOTILLA_ keys.`,
    ]);
  }
  const parsed = z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]))
    .safeParse(json);
  if (!parsed.success)
    throw new ConfigError([
      `The config file ${path} is not a JSON object of strings, numbers, booleans and lists of strings: correct it.`,
    ]);
  const unknown = Object.keys(parsed.data).filter((key) => !(key in settings));
  if (unknown.length > 0)
    throw new ConfigError(
      unknown.map((key) => `${key} in ${path} is not a setting of agentd: remove it or correct its spelling.`),
    );
  return Object.fromEntries(
    Object.entries(parsed.data).map(([key, value]) => {
      if (!Array.isArray(value)) return [key, String(value)];
      return [key, key === 'FLOTILLA_COMMAND' ? JSON.stringify(value) : value.join(',')];
    }),
  );
};

const isLoopback = (url: string): boolean =>
  /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);

const defaultStateDir = (): string =>
  process.getuid?.() === 0 ? '/var/lib/flotilla/agentd' : join(homedir(), '.local/state/flotilla/agentd');

/** A host name as an agent name: lower-case, first label, foreign characters as "-". */
const sanitizeName = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63) || 'agent';

const pickTaskEnv = (env: Env, extra: readonly string[]): Record<string, string> => {
  const picked: Record<string, string> = { PATH: DEFAULT_PATH };
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && (INHERITED.test(name) || extra.includes(name))) picked[name] = value;
  }
  return picked;
};

/** Reads the join token when it is first needed, so that its file may be removed once the host has joined. */
const joinTokenReader = (inline: string | undefined, path: string | undefined) => (): string | null => {
  if (path === undefined) return inline ?? null;
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new ConfigError([
      `FLOTILLA_JOIN_TOKEN_FILE cannot be read (${(error as Error).message}): ${settings.FLOTILLA_JOIN_TOKEN_FILE.remedy}.`,
    ]);
  }
};

/** What the chosen executor cannot do without. */
const NEEDED = { command: 'FLOTILLA_COMMAND', openclaw: 'FLOTILLA_OPENCLAW_CONFIG' } as const;

export type OpenClawSettings = {
  bin: string;
  node: string | null;
  config_file: string;
  env_file: string | null;
  model: string | null;
  soul_file: string | null;
};

/** Null unless this host runs OpenClaw. A name without a slash is looked up in PATH; everything else becomes absolute. */
const openclawSettings = (value: z.infer<typeof Settings>): OpenClawSettings | null => {
  if (value.FLOTILLA_EXECUTOR !== 'openclaw') return null;
  const absolute = (path: string | undefined) => (path === undefined ? null : resolve(path));
  const bin = value.FLOTILLA_OPENCLAW_BIN;
  return {
    bin: bin.includes('/') ? resolve(bin) : bin,
    node: absolute(value.FLOTILLA_OPENCLAW_NODE),
    config_file: resolve(value.FLOTILLA_OPENCLAW_CONFIG ?? ''),
    env_file: absolute(value.FLOTILLA_OPENCLAW_ENV_FILE),
    model: value.FLOTILLA_OPENCLAW_MODEL ?? null,
    soul_file: absolute(value.FLOTILLA_OPENCLAW_SOUL_FILE),
  };
};

/** Environment over config file over defaults. Throws `ConfigError` with every problem at once. */
export const loadConfig = (argv: readonly string[], env: Env = process.env) => {
  const path = configPath(argv, env);
  const given: Env = { ...(path === null ? {} : readConfigFile(path)) };
  for (const key of Object.keys(settings)) if (env[key] !== undefined && env[key] !== '') given[key] = env[key];
  const parsed = Settings.safeParse(given);
  const sentences = new Map<string, string>();
  const needed = NEEDED[given.FLOTILLA_EXECUTOR === 'openclaw' ? 'openclaw' : 'command'];
  if (given[needed] === undefined) sentences.set(needed, `${needed} is not set: ${settings[needed].remedy}.`);
  for (const issue of parsed.error?.issues ?? []) {
    // The issue's first path element is a key of the object that was parsed.
    const key = String(issue.path[0]) as keyof typeof settings;
    const problem = given[key] === undefined ? 'is not set' : `cannot be used (${issue.message})`;
    if (!sentences.has(key)) sentences.set(key, `${key} ${problem}: ${settings[key].remedy}.`);
  }
  if (!parsed.success || sentences.size > 0) throw new ConfigError([...sentences.values()]);
  const value = parsed.data;
  if (value.FLOTILLA_URL.startsWith('http:') && !isLoopback(value.FLOTILLA_URL) && !value.FLOTILLA_INSECURE) {
    throw new ConfigError([
      'FLOTILLA_URL is plain http:// to another host, so tokens and results would travel in the clear: use https://, or set FLOTILLA_INSECURE=1 on a network you trust.',
    ]);
  }
  return {
    url: value.FLOTILLA_URL,
    read_join_token: joinTokenReader(value.FLOTILLA_JOIN_TOKEN, value.FLOTILLA_JOIN_TOKEN_FILE),
    state_dir: resolve(value.FLOTILLA_STATE_DIR ?? defaultStateDir()),
    agent_name: value.FLOTILLA_AGENT_NAME ?? sanitizeName(hostname()),
    slots: value.FLOTILLA_SLOTS,
    /** The argv of the executor `command`; empty under another one. */
    command: value.FLOTILLA_COMMAND ?? [],
    openclaw: openclawSettings(value),
    kill_grace_ms: value.FLOTILLA_KILL_GRACE_MS,
    log_poll_ms: value.FLOTILLA_LOG_POLL_MS,
    max_log_bytes: value.FLOTILLA_MAX_LOG_BYTES,
    workdir_retention_ms: value.FLOTILLA_WORKDIR_RETENTION,
    log_level: value.FLOTILLA_LOG_LEVEL,
    crash_at: value.FLOTILLA_CRASH_AT ?? null,
    /** The environment tasks start from; the only part of agentd's own that they see. */
    task_env: pickTaskEnv(env, value.FLOTILLA_PASS_ENV),
  };
};
export type Config = ReturnType<typeof loadConfig>;
