/** What scripts can rely on. 130 is what shells report for a process ended by SIGINT. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  cancelled: 3,
  auth: 4,
  ended_badly: 5,
  timeout: 6,
  conflict: 7,
  interrupted: 130,
} as const;
export type ExitName = keyof typeof exitCodes;

export type ErrorFacts = {
  code?: string | null;
  hint?: string | null;
  request_id?: string | null;
  cause?: unknown;
};

/** A failure that a person can act on: one sentence, a hint, and the exit code it ends the process with. */
export class CliError extends Error {
  readonly exit: ExitName;
  readonly code: string | null;
  readonly hint: string | null;
  readonly request_id: string | null;

  constructor(exit: ExitName, sentence: string, facts: ErrorFacts = {}) {
    super(sentence, { cause: facts.cause });
    this.name = 'CliError';
    this.exit = exit;
    this.code = facts.code ?? null;
    this.hint = facts.hint ?? null;
    this.request_id = facts.request_id ?? null;
  }
}

export const usageError = (sentence: string, hint?: string): CliError =>
  new CliError('usage', sentence, { hint, code: 'usage' });

/** Ctrl-C: the reason of the process-wide abort signal. Nothing is printed for it beyond what the verb already said. */
export class Interrupted extends Error {
  override name = 'Interrupted';
}

/** `--dry-run` reached the request it would have sent and printed it. */
export class DryRunDone extends Error {
  override name = 'DryRunDone';
}

/** No answer at all: refused, unknown host, broken connection, bad certificate. */
export class UnreachableError extends CliError {
  override name = 'UnreachableError';
}

/** A program that a verb ran has failed and said why: its exit code becomes ours, and nothing is added. */
export class ProgramFailed extends Error {
  override name = 'ProgramFailed';
  readonly exit_code: number;

  constructor(exit_code: number) {
    super(`a program ended with ${exit_code}`);
    this.exit_code = exit_code;
  }
}
