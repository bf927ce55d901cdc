import type { ClaimedTask, UsageReport } from '@flotilla/shared';

/** What an executor may name in its argv: they exist before the process starts. */
export type ExecutorPaths = { workdir: string; prompt_file: string };

export type Plan = {
  argv: string[];
  /** What the process reads: the task's prompt, or nothing. */
  stdin: 'prompt' | 'empty';
  /** Added to the allowlisted environment. */
  env: Record<string, string>;
};

/** How the process ended: an exit code, or the signal that ended it. */
export type Exit = { code: number | null; signal: number | null };

/** The end of one output stream, decoded; `cut` says that its beginning is missing. */
export type CapturedOutput = { text: string; cut: boolean };

/** The task as it is kept for the length of an attempt: everything but the prompt and the token. */
export type AttemptTask = Omit<ClaimedTask, 'prompt' | 'attempt_token'>;

export type Ended = { exit: Exit; stdout: CapturedOutput; stderr: CapturedOutput; task: AttemptTask };

type Common = { session_id?: string; usage?: UsageReport };
export type Completed = Common & { outcome: 'completed'; resolution: string; result?: unknown };
export type Failed = Common & {
  outcome: 'failed';
  retryable: boolean;
  kind: string;
  message: string;
  retry_after_s?: number;
  output?: string;
};

/** A way to run tasks: an argv and a reading of what came out, nothing else. Both are pure. */
export type Executor = {
  name: string;
  prepare: (task: ClaimedTask, paths: ExecutorPaths) => Plan;
  interpret: (ended: Ended) => Completed | Failed;
};
