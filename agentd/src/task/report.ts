import { CompleteTask, FailTask } from '@flotilla/shared';
import { z } from 'zod';

import type { Deps } from '../deps.ts';
import type { Completed, Exit, Failed } from '../executors/executor.ts';
import { interpreterOf } from '../executors/index.ts';
import { cleanText, keepTail } from '../executors/text.ts';
import type { IntentKind, Report } from '../local/journal.ts';
import type { Attempt } from './attempt.ts';
import { captureOutput } from './capture.ts';
import { logSize } from './output.ts';
import { readExit } from './watch.ts';

/** Raw output kept with a failure that could not be read. */
const MAX_OUTPUT = 64 * 1024;

type Ending = { kind: string; retryable: boolean; message: string };

/** How an attempt that ended by our hand is reported. A drain is handed back instead: it is nobody's failure. */
const endings: Record<Exclude<IntentKind, 'drain'>, Ending> = {
  cancelled: { kind: 'cancelled', retryable: false, message: 'Stopped because the task was cancelled.' },
  timeout: { kind: 'timeout', retryable: true, message: 'Stopped at its time limit.' },
  lost: { kind: 'lease_lost', retryable: true, message: 'Stopped because another attempt owns the task now.' },
  fence: {
    kind: 'fenced',
    retryable: true,
    message: 'Stopped because the host lost contact and the task must never run twice.',
  },
  shim_lost: { kind: 'shim_lost', retryable: true, message: 'The process that supervised the command was killed.' },
  host_restart: { kind: 'host_restart', retryable: true, message: 'The host restarted while the command ran.' },
  spawn: { kind: 'spawn', retryable: false, message: 'The command could not be started.' },
  no_shim: { kind: 'no_shim', retryable: true, message: 'The host could not start a process.' },
};

/** Shells report a signal as 128 + its number; there are 64. */
const toExit = (status: number | null): Exit =>
  status !== null && status > 128 && status <= 192
    ? { code: null, signal: status - 128 }
    : { code: status, signal: null };

const interpret = async (
  deps: Deps,
  { files, record }: Attempt,
  status: number | null,
): Promise<Completed | Failed> => {
  const stdout = await captureOutput(files.stdout, record.max_log_bytes);
  const stderr = await captureOutput(files.stderr, record.max_log_bytes);
  try {
    return interpreterOf(record.executor)({ exit: toExit(status), stdout, stderr, task: record.task });
  } catch (error) {
    // An executor's parser met output nobody thought of: the task fails with a reason, the daemon goes on.
    deps.log.error({ error: String(error) }, 'the output of an attempt could not be read');
    return {
      outcome: 'failed',
      retryable: false,
      kind: 'bad_result',
      message: `The output could not be read: ${String(error)}`,
      output: keepTail(cleanText(stdout.text), MAX_OUTPUT, stdout.cut),
    };
  }
};

const toFail = (attempt: Attempt, said: Completed | Failed, ending: Ending | null, common: object): Report => {
  const failed = said.outcome === 'failed' ? said : null;
  const { kind, retryable, message } = ending ??
    failed ?? { kind: 'executor_error', retryable: false, message: 'failed' };
  const detail = ending === null ? undefined : attempt.intent?.detail;
  const output = failed === null ? (said as Completed).resolution : failed.output;
  const body = {
    epoch: attempt.record.task.epoch,
    retryable,
    kind,
    message: cleanText(detail === undefined ? message : `${message} ${detail}`),
    retry_after_s: ending === null ? failed?.retry_after_s : undefined,
    output: output === '' ? undefined : output,
    ...common,
  };
  return { verb: 'fail', body: FailTask.parse(body) };
};

/** A result that the contract refuses would be refused for ever: it becomes a failure that says why. */
const toComplete = (attempt: Attempt, said: Completed, common: object): Report => {
  const body = { epoch: attempt.record.task.epoch, resolution: said.resolution, result: said.result, ...common };
  let problem: string;
  try {
    const parsed = CompleteTask.safeParse(body);
    if (parsed.success) return { verb: 'complete', body: parsed.data };
    problem = z.prettifyError(parsed.error);
  } catch (error) {
    problem = String(error); // nested deeper than the stack
  }
  const message = keepTail(`The command's result cannot be stored: ${problem}`, 4000);
  return toFail(
    attempt,
    { ...said, outcome: 'failed', kind: 'bad_result', retryable: false, message, output: said.resolution },
    null,
    common,
  );
};

/** The failure that is told when a result is refused for ever; null for what is no result. */
export const insteadOf = (refused: Report, error: Error): Report | null => {
  if (refused.verb !== 'complete') return null;
  const { epoch, usage, log_sizes } = refused.body;
  const message = `The coordinator refuses the result: ${error.message}. The result is in dead-letter on the host.`;
  const body = { epoch, retryable: false, kind: 'report_refused', message: cleanText(message), usage, log_sizes };
  return { verb: 'fail', body: FailTask.parse(body) };
};

/** Composes the terminal report of an attempt whose processes have all ended. */
export const composeReport = async (deps: Deps, attempt: Attempt): Promise<Report> => {
  const { intent, record } = attempt;
  const log_sizes = { stdout: await logSize(attempt, 'stdout'), stderr: await logSize(attempt, 'stderr') };
  if (intent?.kind === 'drain')
    return { verb: 'unclaim', body: { epoch: record.task.epoch, reason: 'drain', log_sizes } };
  const status = await readExit(attempt);
  const said = await interpret(deps, attempt, status);
  const common = { exit_code: status, session_id: said.session_id, usage: said.usage, log_sizes };
  if (intent !== null) return toFail(attempt, said, endings[intent.kind], common);
  return said.outcome === 'completed' ? toComplete(attempt, said, common) : toFail(attempt, said, null, common);
};
