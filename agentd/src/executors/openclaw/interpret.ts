import type { UsageReport } from '@flotilla/shared';

import type { Completed, Ended, Failed, Interpret } from '../executor.ts';
import { describeExit } from '../signals.ts';
import { cleanText, keepTail } from '../text.ts';
import { type Envelope, readEnvelope } from './envelope.ts';
import { classifyMessage, isOutOfMemory, type Meaning } from './failures.ts';

const MAX_RESOLUTION = 512 * 1024;
const MAX_OUTPUT = 64 * 1024;
const MAX_MESSAGE = 4000;

const modelName = ({ provider, model }: Envelope): string | null =>
  model ? (provider ? `${provider}/${model}` : model).slice(0, 200) : null;

/** One final report: OpenClaw adds up all its calls. Without a price in its config a model is unpriced, not free. */
const toUsage = (envelope: Envelope): UsageReport | undefined => {
  const { usage, costUsd } = envelope;
  if (usage === undefined) return undefined;
  const cost = costUsd ?? usage.cost?.total;
  return {
    seq: 1,
    mode: 'cumulative',
    model: modelName(envelope),
    input_tokens: usage.input ?? 0,
    output_tokens: usage.output ?? 0,
    cache_read_tokens: usage.cacheRead ?? 0,
    cache_write_tokens: usage.cacheWrite ?? 0,
    cost_usd_micros: cost === undefined ? null : Math.round(cost * 1_000_000),
  };
};

const commonOf = (envelope: Envelope) => ({
  session_id: envelope.sessionId ? envelope.sessionId.slice(0, 200) : undefined,
  usage: toUsage(envelope),
});

const wordsOf = ({ final, payloads }: Envelope): string =>
  final || (payloads ?? []).flatMap(({ text }) => text ?? []).join('\n');

/** Facts beside the words, for whoever compares runs. */
const resultOf = (envelope: Envelope): Record<string, unknown> => {
  const { assistantTurns: assistant_turns, toolSummary: tools } = envelope;
  return {
    model: modelName(envelope),
    ...(assistant_turns === undefined ? {} : { assistant_turns }),
    ...(tools === undefined
      ? {}
      : { tools: { calls: tools.calls ?? 0, failures: tools.failures ?? 0, names: tools.tools ?? [] } }),
  };
};

const toCompleted = (envelope: Envelope): Completed => ({
  outcome: 'completed',
  resolution: keepTail(wordsOf(envelope), MAX_RESOLUTION),
  result: resultOf(envelope),
  ...commonOf(envelope),
});

const toFailed = (envelope: Envelope, message: string): Failed => {
  const meaning: Meaning =
    envelope.status === 'timeout' ? { kind: 'timeout', retryable: true } : classifyMessage(message);
  const said = wordsOf(envelope);
  return {
    outcome: 'failed',
    ...meaning,
    message: keepTail(message, MAX_MESSAGE),
    // What the model had said by then, unless it is the error once more.
    output: said === '' || said === message ? undefined : keepTail(said, MAX_OUTPUT),
    ...commonOf(envelope),
  };
};

/** Nothing of OpenClaw's was printed: the way the process ended and its last words are all there is. */
const withoutEnvelope = ({ exit, stdout, stderr }: Ended): Failed => {
  const said = cleanText(stderr.text).trim();
  const printed = cleanText(stdout.text).trim();
  const tail = said === '' ? '' : `\n${keepTail(said, MAX_MESSAGE)}`;
  const output = printed === '' ? undefined : keepTail(printed, MAX_OUTPUT, stdout.cut);
  const how = describeExit(exit);
  const fail = (kind: string, retryable: boolean, message: string): Failed => ({
    outcome: 'failed',
    kind,
    retryable,
    message: `${message}${tail}`,
    output,
  });
  if (isOutOfMemory(exit.signal, said)) return fail('out_of_memory', true, `OpenClaw ran out of memory (${how}).`);
  if (exit.signal !== null) return fail('killed', true, `OpenClaw was ended from outside (${how}).`);
  return fail('bad_result', false, `OpenClaw ended with ${how} and no result that this version of agentd can read.`);
};

/** Reads what `openclaw agent exec --json` printed. A result that is there counts, however the process ended after it. */
export const interpretOpenClaw: Interpret = (ended) => {
  const envelope = readEnvelope(ended.stdout.text) ?? readEnvelope(ended.stderr.text);
  if (envelope === null) return withoutEnvelope(ended);
  if (envelope.ok && envelope.status === 'ok') return toCompleted(envelope);
  const message = envelope.error?.message ?? wordsOf(envelope);
  return toFailed(envelope, message === '' ? `OpenClaw reports ${envelope.status} without a reason.` : message);
};
