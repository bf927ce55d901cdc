import type { Failed } from '../executor.ts';

/** What a message of OpenClaw means for the task. OpenClaw says no more than the message: its `kind` is "exception". */
export type Meaning = Pick<Failed, 'kind' | 'retryable' | 'retry_after_s'>;

type Rule = Meaning & { says: RegExp };

// Patterns are OpenClaw's own words for its reasons, in its order of precedence; a status alone is the last resort.
const rules: Rule[] = [
  // A key that was refused is put aside for a while; before "auth", which the same sentence mentions.
  { says: /temporarily disabled after a provider/i, kind: 'provider_cooldown', retryable: true, retry_after_s: 60 },
  {
    says: /provider billing issue|insufficient.{1,20}(credit|quota|balance)|HTTP 402/i,
    kind: 'billing',
    retryable: false,
  },
  {
    says: /authentication (failed|was rejected)|(missing|no) api key|re-authenticate|HTTP 40[13]\b/i,
    kind: 'auth',
    retryable: false,
  },
  { says: /rate.?limit|HTTP 429/i, kind: 'rate_limit', retryable: true, retry_after_s: 60 },
  { says: /overloaded|at capacity|HTTP 529/i, kind: 'overloaded', retryable: true, retry_after_s: 60 },
  { says: /unknown model|model not found/i, kind: 'unknown_model', retryable: false },
  { says: /context (overflow|limit exceeded)/i, kind: 'context_overflow', retryable: false },
  { says: /timed out/i, kind: 'timeout', retryable: true },
  {
    says: /rejected the request schema|request format rejected|LLM request rejected|HTTP 4\d\d/i,
    kind: 'bad_request',
    retryable: false,
  },
  {
    says: /provider internal error|temporary internal error|HTTP 5\d\d/i,
    kind: 'provider_error',
    retryable: true,
    retry_after_s: 30,
  },
  {
    says: /failed to acquire gateway state ownership|a gateway is running for this state|state database was (busy|locked)/i,
    kind: 'lock',
    retryable: true,
    retry_after_s: 15,
  },
  { says: /state database was full|no space left|ENOSPC/i, kind: 'disk_full', retryable: true, retry_after_s: 300 },
  {
    says: /config (is )?invalid|invalid config|config validation|agent exec has no explicit owner/i,
    kind: 'config',
    retryable: false,
  },
  {
    says: /connection (error|failed|refused|reset)|network|ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|fetch failed|invalid streaming response/i,
    kind: 'provider_unreachable',
    retryable: true,
    retry_after_s: 30,
  },
];

/** Seconds that a message asks to wait: "Retry after about 1 minute". */
const waitIn = (message: string): number | undefined => {
  const [, amount, unit] =
    /\b(?:retry|try again) (?:after|in) (?:about )?(\d{1,5}) ?(second|minute|hour)/i.exec(message) ?? [];
  const seconds = { second: 1, minute: 60, hour: 3600 }[unit?.toLowerCase() ?? ''];
  return seconds === undefined ? undefined : Math.min(Number(amount) * seconds, 7 * 86_400);
};

/** Final unless a rule says that another try may help: a retry of an unknown error costs money and repeats effects. */
export const classifyMessage = (message: string): Meaning => {
  const rule = rules.find(({ says }) => says.test(message));
  if (rule === undefined) return { kind: 'executor_error', retryable: false };
  const { kind, retryable } = rule;
  return { kind, retryable, retry_after_s: retryable ? (waitIn(message) ?? rule.retry_after_s) : undefined };
};

/** V8 ends with an abort after it has said why; the system's own killer says nothing and is a plain KILL. */
export const isOutOfMemory = (signal: number | null, stderr: string): boolean =>
  signal === 6 || /heap out of memory|Allocation failed - JavaScript/i.test(stderr);
