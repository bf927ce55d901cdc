import { ApiError, backoffDelay, pace, sleep } from '@flotilla/shared';

import { withDeadline } from './deadline.ts';
import type { Deps } from './deps.ts';

/** What an error answer means for what was sent (protocol.md §6). */
export type Refusal = 'lease_lost' | 'refused' | 'gone' | 'held' | 'retry';

const HELD = { min_ms: 15_000, max_ms: 30_000 };
/** `gone` is an order only when it is repeated after this long: one answer may come from a coordinator on an old copy. */
export const GONE_CONFIRM_MS = 10_000;

/** Reads an error answer. What is not in our own words, a proxy's 404 or half an answer, always means: try again. */
export const readRefusal = (error: unknown): Refusal => {
  if (!(error instanceof ApiError)) return 'retry';
  if (error.status === 401 || error.status === 403) return 'held';
  if (error.code === null) return 'retry';
  if (error.status === 409 && error.code === 'lease_lost') return 'lease_lost';
  if (error.status === 410 && (error.code === 'task_gone' || error.code === 'agent_gone')) return 'gone';
  return error.status === 400 || error.status === 413 || error.status === 422 ? 'refused' : 'retry';
};

/** One line for the log: our codes where there are any. */
export const describeError = (error: unknown): string => {
  if (error instanceof ApiError) return `${error.status} ${error.code ?? 'without our error body'}: ${error.message}`;
  if (!(error instanceof Error)) return String(error);
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined || message.includes(code) ? message : `${code}: ${message}`;
};

export type Answered<T> =
  | { kind: 'answer'; value: T }
  | { kind: 'refusal'; refusal: 'lease_lost' | 'refused' | 'gone'; error: ApiError };

export type CallPlan<T> = {
  /** For the log: "report of 12-40". */
  what: string;
  deadline_ms: number;
  call: (signal: AbortSignal) => Promise<T>;
  signal: AbortSignal;
  /** Runs one try under a limit shared with others; waiting between tries is outside of it. */
  gate?: <R>(run: () => Promise<R>) => Promise<R>;
};

const nextDelay = ({ random }: Deps, refusal: Refusal, error: unknown, attempt: number): number => {
  if (refusal === 'gone') return GONE_CONFIRM_MS + backoffDelay(0, pace.report, random);
  if (refusal === 'held') return HELD.min_ms + random() * (HELD.max_ms - HELD.min_ms);
  const asked_ms = error instanceof ApiError ? Math.min(error.retry_after_s ?? 0, 30) * 1000 : 0;
  return asked_ms + backoffDelay(attempt, pace.report, random);
};

/** Waits before the next try, or less when the link comes back meanwhile. */
const waitForTry = async ({ link, clock, random }: Deps, delay_ms: number, signal: AbortSignal): Promise<void> => {
  const end = clock.uptime_ms() + delay_ms;
  await link.restored.wait(delay_ms, signal);
  const left_ms = end - clock.uptime_ms();
  if (left_ms > 0) await link.restored.wait(Math.min(left_ms, random() * pace.outbox_spread_ms), signal);
};

/** A copy of this agent must not report on what both of them hold: while another instance counts, nothing is sent. */
const untilAlone = async ({ standing }: Deps, signal: AbortSignal): Promise<void> => {
  while (standing.instance_conflict && !signal.aborted) await standing.changed.wait(HELD.max_ms, signal);
};

/** Calls until there is an answer that settles it, however long that takes; null when the signal aborted first. */
export const untilAnswered = async <T>(deps: Deps, plan: CallPlan<T>): Promise<Answered<T> | null> => {
  const { signal, gate = (run) => run() } = plan;
  let gone_since_ms: number | null = null;
  for (let attempt = 0; !signal.aborted; attempt++) {
    await untilAlone(deps, signal);
    if (signal.aborted) return null;
    try {
      return { kind: 'answer', value: await gate(() => withDeadline(plan.deadline_ms, signal, plan.call)) };
    } catch (error) {
      if (signal.aborted) return null;
      const refusal = readRefusal(error);
      if (refusal === 'lease_lost' || refusal === 'refused')
        return { kind: 'refusal', refusal, error: error as ApiError };
      const now = deps.clock.uptime_ms();
      if (refusal !== 'gone') gone_since_ms = null;
      else if (gone_since_ms === null) gone_since_ms = now;
      else if (now - gone_since_ms >= GONE_CONFIRM_MS) return { kind: 'refusal', refusal, error: error as ApiError };
      if (refusal === 'held') holdLink(deps, error as ApiError);
      const delay_ms = nextDelay(deps, refusal, error, attempt);
      // Loud at first, then quiet: hundreds of results waiting through an outage must not fill a disk with complaints.
      deps.log[attempt < 3 || refusal === 'gone' ? 'warn' : 'debug'](
        { what: plan.what, attempt, retry_in_ms: Math.round(delay_ms), error: describeError(error) },
        'not answered, trying again',
      );
      // A confirmation must not be hurried by a restored link.
      if (refusal === 'gone') await sleep(delay_ms, signal);
      else await waitForTry(deps, delay_ms, signal);
    }
  }
  return null;
};

/** Our token was refused: nothing is lost and nothing is asked for until a beat is answered again. */
export const holdLink = ({ link, log, standing }: Deps, error: ApiError): void => {
  if (link.held === null) {
    log.error(
      { status: error.status, code: error.code, hint: error.hint },
      'the coordinator refuses this agent: results are kept and running tasks go on; enable the agent there, or remove identity.json and secret and join again',
    );
  }
  link.held = error.status;
  standing.changed.notify();
};
