import { z } from 'zod';

import { cleanJson } from '../text.ts';

// Each field falls back alone: an odd price must not hide a result.
const word = z.string().nullish().catch(undefined);
const count = z.number().min(0).transform(Math.round).pipe(z.int()).optional().catch(undefined);
const money = z.number().min(0).max(1_000_000_000).optional().catch(undefined);

const Usage = z.object({
  input: count,
  output: count,
  cacheRead: count,
  cacheWrite: count,
  cost: z.object({ total: money }).optional().catch(undefined),
});
const Payloads = z
  .array(z.object({ text: word, isError: z.boolean().optional().catch(undefined) }))
  .optional()
  .catch(undefined);
const ToolSummary = z
  .object({ calls: count, failures: count, tools: z.array(z.string()).optional().catch(undefined) })
  .optional()
  .catch(undefined);
const Problem = z.object({ message: word, kind: word, type: word }).optional().catch(undefined);
const facts = {
  usage: Usage.optional().catch(undefined),
  costUsd: money,
  assistantTurns: count,
  model: word,
  provider: word,
  sessionId: word,
};

/** `agent exec --json`. */
const Exec = z.object({
  ok: z.boolean(),
  status: z.enum(['ok', 'error', 'timeout']),
  final: word,
  payloads: Payloads,
  toolSummary: ToolSummary,
  error: Problem,
  ...facts,
});
/** `agent --local --json`: another program of the same family; hosts get to it by their own wrappers. */
const Local = z.object({
  payloads: z.array(z.unknown()),
  meta: z.object({
    agentMeta: z.object(facts),
    aborted: z.boolean().optional().catch(undefined),
    finalAssistantVisibleText: word,
    timeoutPhase: word,
    toolSummary: ToolSummary,
    error: Problem,
  }),
});
/** Either, when it could not even begin. */
const CliError = z.object({ ok: z.literal(false), error: z.object({ type: z.string(), message: z.string() }) });

export type Envelope = z.infer<typeof Exec>;

const fromLocal = ({ payloads, meta }: z.infer<typeof Local>): Envelope => {
  const said = Payloads.parse(payloads);
  const failed = meta.error !== undefined || meta.aborted === true || said?.some(({ isError }) => isError) === true;
  const status = !failed ? 'ok' : meta.timeoutPhase ? 'timeout' : 'error';
  const error = failed ? { message: said?.[0]?.text, ...meta.error } : undefined;
  const { finalAssistantVisibleText: final, toolSummary, agentMeta } = meta;
  return { ...agentMeta, ok: !failed, status, final, payloads: said, toolSummary, error };
};

const parseEnvelope = (value: unknown): Envelope | null => {
  const exec = Exec.safeParse(value);
  if (exec.success) return exec.data;
  const local = Local.safeParse(value);
  if (local.success) return fromLocal(local.data);
  const refused = CliError.safeParse(value);
  if (!refused.success) return null;
  const { message, type: kind } = refused.data.error;
  return { ok: false, status: 'error', error: { message, kind } };
};

/** Where the object that begins at `start` ends; -1 when it does not. */
const endOfObject = (text: string, start: number): number => {
  let depth = 0;
  let quoted = false;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (quoted) {
      if (char === '\\') at++;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === '{') depth++;
    else if (char === '}' && --depth === 0) return at + 1;
  }
  return -1;
};

/** Braces in a log that never close cost a pass over the rest each; after so many the output is none of OpenClaw's. */
const MAX_TRIES = 64;

/**
 * The first object in the text that is a result of OpenClaw. Versions differ in what they print around it: plugins log
 * on stdout before it, the state database after it.
 */
export const readEnvelope = (text: string): Envelope | null => {
  let from = text.indexOf('{');
  for (let tries = 0; from >= 0 && tries < MAX_TRIES; tries++) {
    const end = endOfObject(text, from);
    let value: unknown;
    try {
      value = end < 0 ? undefined : cleanJson(JSON.parse(text.slice(from, end)));
    } catch {
      // Braces of a log line.
    }
    const envelope = value === undefined ? null : parseEnvelope(value);
    if (envelope !== null) return envelope;
    // An object that is somebody else's is passed over as a whole.
    from = text.indexOf('{', value === undefined ? from + 1 : end);
  }
  return null;
};
