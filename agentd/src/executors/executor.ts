import type { ClaimedTask, UsageReport } from '@flotilla/shared';

/** What a plan may name: the directories and the prompt exist before the process starts, and go with the attempt. */
export type ExecutorPaths = {
  workdir: string;
  prompt_file: string;
  /** The attempt's own directory for what is not the task's business: configuration, state. */
  private_dir: string;
};

/** A file that is there before the process starts; 0600. Kept in the attempt's record: nothing secret goes in here. */
export type PlannedFile = { place: 'private' | 'workdir'; name: string; content: string };

export type Plan = {
  argv: string[];
  /** What the process reads: the task's prompt, or nothing. */
  stdin: 'prompt' | 'empty';
  /** Added to the allowlisted environment. */
  env: Record<string, string>;
  /** A KEY=VALUE file that is read at the launch and added too, so that secrets are in no record of ours. */
  env_file?: string;
  files?: PlannedFile[];
  /** How long after `timeout_s` the process may take to end by its own deadline before it is stopped. */
  timeout_grace_ms?: number;
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

/** A way to run tasks: an argv made from a task. Pure: what it needs of the host was found at start. */
export type Executor = {
  name: string;
  /** What it is on this host, told at registration and logged: a version, say. */
  about: Record<string, string>;
  prepare: (task: ClaimedTask, paths: ExecutorPaths) => Plan;
};

/** The reading of what came out, as pure. Apart from `Executor`: an attempt outlives the host's choice of one. */
export type Interpret = (ended: Ended) => Completed | Failed;
