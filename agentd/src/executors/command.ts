import type { UsageReport } from '@flotilla/shared';
import { z } from 'zod';

import type { CapturedOutput, Completed, Ended, Executor, Failed } from './executor.ts';
import { describeExit } from './signals.ts';
import { cleanJson, cleanText, keepTail } from './text.ts';

const MAX_RESOLUTION = 64 * 1024;
const MAX_MESSAGE = 4000;
/** sysexits(3) EX_TEMPFAIL: "the user is invited to retry". */
const EXIT_TEMPORARY = 75;

// Each field falls back alone: a program that prints a wrong price still gets its result delivered.
const count = z.number().transform(Math.round).pipe(z.int().min(0)).optional().catch(undefined);
const word = z.string().optional().catch(undefined);
const Usage = z.object({
  input_tokens: count,
  output_tokens: count,
  cache_read_tokens: count,
  cache_write_tokens: count,
  cost_usd_micros: count,
  cost_usd: z.number().min(0).optional().catch(undefined),
  model: word,
});
const Problem = z.object({
  kind: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._:/=-]{0,62}$/)
    .optional()
    .catch(undefined),
  message: word,
  retryable: z.boolean().optional().catch(undefined),
  retry_after_s: z
    .number()
    .transform(Math.ceil)
    .pipe(
      z
        .int()
        .min(0)
        .max(7 * 86_400),
    )
    .optional()
    .catch(undefined),
});
/** What a command may print as a JSON object to say more than text can. Every field may be left out. */
const Printed = z.object({
  ok: z.boolean().optional().catch(undefined),
  resolution: word,
  result: z.unknown().optional(),
  session_id: z.string().min(1).max(200).optional().catch(undefined),
  usage: Usage.optional().catch(undefined),
  error: z
    .union([Problem, z.string().transform((message): z.infer<typeof Problem> => ({ message }))])
    .optional()
    .catch(undefined),
});
const knownFields = Object.keys(Printed.shape);

type Spoken = { printed: z.infer<typeof Printed>; whole: Record<string, unknown> };

const parseObject = (text: string): Spoken | null => {
  if (!text.startsWith('{')) return null;
  try {
    const whole = cleanJson(JSON.parse(text));
    const printed = Printed.safeParse(whole);
    // It begins with "{" and parsed, so it is an object.
    return printed.success ? { printed: printed.data, whole: whole as Record<string, unknown> } : null;
  } catch {
    return null; // text that happens to begin with a brace, or nested deeper than the stack
  }
};

const readPrinted = ({ text, cut }: CapturedOutput): Spoken | null => {
  const trimmed = text.trim();
  const whole = cut ? null : parseObject(trimmed);
  return whole ?? parseObject(trimmed.slice(trimmed.lastIndexOf('\n') + 1).trim());
};

const toUsage = (usage: z.infer<typeof Usage> | undefined): UsageReport | undefined => {
  if (usage === undefined) return undefined;
  const { cost_usd, model, input_tokens = 0, output_tokens = 0, cache_read_tokens = 0, cache_write_tokens = 0 } = usage;
  const cost_usd_micros = usage.cost_usd_micros ?? (cost_usd === undefined ? null : Math.round(cost_usd * 1_000_000));
  const tokens = { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens };
  return { seq: 1, mode: 'cumulative', model: model?.slice(0, 200) ?? null, ...tokens, cost_usd_micros };
};

const readFailure = (ended: Ended, spoken: Spoken | null): Omit<Failed, 'outcome'> => {
  const { exit, stdout, stderr } = ended;
  const error = spoken?.printed.error;
  const output = keepTail(cleanText(stdout.text).trim(), MAX_RESOLUTION, stdout.cut);
  const said = keepTail(cleanText(stderr.text).trim(), MAX_MESSAGE);
  const killed = exit.signal !== null;
  const message = error?.message ?? `The command ended with ${describeExit(exit)}.${said === '' ? '' : `\n${said}`}`;
  return {
    retryable: error?.retryable ?? (error === undefined && (killed || exit.code === EXIT_TEMPORARY)),
    kind: error?.kind ?? (error !== undefined || exit.code === 0 ? 'executor_error' : killed ? 'killed' : 'exit_code'),
    message: keepTail(cleanText(message), MAX_MESSAGE + 1000),
    retry_after_s: error?.retry_after_s,
    output: output === '' ? undefined : output,
  };
};

const readSuccess = ({ stdout }: Ended, spoken: Spoken | null): Omit<Completed, 'outcome'> => {
  const text = keepTail(cleanText(stdout.text).trim(), MAX_RESOLUTION, stdout.cut);
  if (spoken === null) return { resolution: text };
  const { resolution, result } = spoken.printed;
  // An object with none of our fields is the result itself: {"answer": 42}.
  if (!knownFields.some((field) => field in spoken.whole)) return { resolution: text, result: spoken.whole };
  const words = resolution ?? (typeof result === 'string' ? result : text);
  return { resolution: keepTail(words, MAX_RESOLUTION), result: typeof result === 'string' ? undefined : result };
};

/** Reads how a command ended and what it printed; see the README of this folder for the JSON object it may print. */
export const interpretCommand = (ended: Ended): Completed | Failed => {
  const spoken = readPrinted(ended.stdout);
  const common = { session_id: spoken?.printed.session_id, usage: toUsage(spoken?.printed.usage) };
  const failed = ended.exit.code !== 0 || spoken?.printed.ok === false;
  return failed
    ? { outcome: 'failed', ...readFailure(ended, spoken), ...common }
    : { outcome: 'completed', ...readSuccess(ended, spoken), ...common };
};

/** Runs a fixed argv; `{title}` and the like are replaced within each element, and no shell ever sees them. */
export const createCommandExecutor = (command: readonly string[]): Executor => ({
  name: 'command',
  about: {},
  prepare: (task, paths) => {
    const values: Record<string, string> = {
      task_id: String(task.id),
      ref: task.ref,
      epoch: String(task.epoch),
      title: task.title,
      model: task.model ?? '',
      workdir: paths.workdir,
      prompt_file: paths.prompt_file,
    };
    // One pass, so that a title that contains "{ref}" stays what it is.
    const fill = (part: string) =>
      part.replaceAll(/\{([a-z_]+)\}/g, (whole, name: string) => values[name] ?? whole).replaceAll('\0', '');
    return { argv: command.map(fill), stdin: 'prompt', env: {} };
  },
});
