import type { Clock } from '../clock.ts';
import { elapsedSince, momentNow } from '../clock.ts';
import type { Deps } from '../deps.ts';
import { type FoundAttempt, type Intent, type IntentKind, writeJsonFile } from '../local/journal.ts';
import { createNotifier, type Notifier } from '../notifier.ts';

/** claimed → running → exited → reporting → acked; each follows from the files, so a restart finds the same one. */
export type Phase = 'claimed' | 'running' | 'exited' | 'reporting' | 'acked';

/** One execution of a task as this process sees it. What must survive is in its files; this is the view of them. */
export type Attempt = Omit<FoundAttempt, 'acked'> & {
  mark: string;
  phase: Phase;
  /** Set before the intent is on disk, so that only one is ever written. */
  stop_requested: boolean;
  lease: { renewed_at_ms: number; lease_ms: number };
  /** Phase, intent or report changed. */
  changed: Notifier;
};

/** All attempts this host holds, by key. */
export type Attempts = Map<string, Attempt>;

const firstPhase = ({ acked, report }: FoundAttempt): Phase =>
  acked ? 'acked' : report === null ? 'claimed' : 'reporting';

/** The view of an attempt that was read from disk. `lease` says how old its last renewal is. */
export const viewAttempt = (found: FoundAttempt, state_mark: string, lease: Attempt['lease']): Attempt => ({
  ...found,
  mark: `${found.key}@${state_mark}`,
  phase: firstPhase(found),
  stop_requested: found.intent !== null,
  lease,
  changed: createNotifier(),
});

/** Moves an attempt on and wakes whoever waits for it or for its slot. */
export const setPhase = ({ standing }: Pick<Deps, 'standing'>, attempt: Attempt, phase: Phase): void => {
  attempt.phase = phase;
  attempt.changed.notify();
  standing.changed.notify();
};

/** True while a process of the attempt may run: it uses one of the host's slots. */
export const usesSlot = ({ phase }: Attempt): boolean =>
  phase === 'claimed' || phase === 'running' || phase === 'exited';

/**
 * Decides that an attempt ends by our hand; the attempt's own run does the killing. The first decision stays, and none
 * is made for an attempt whose process has already ended: its own result is the better report.
 */
export const requestStop = async (
  deps: Deps,
  attempt: Attempt,
  kind: IntentKind,
  options: { grace_ms?: number; detail?: string } = {},
): Promise<void> => {
  if (attempt.stop_requested || (attempt.phase !== 'claimed' && attempt.phase !== 'running')) return;
  attempt.stop_requested = true;
  const at = momentNow(deps.clock, deps.host.boot_id);
  const intent: Intent = { kind, at, grace_ms: options.grace_ms ?? deps.config.kill_grace_ms, detail: options.detail };
  try {
    await writeJsonFile(attempt.files.intent, intent);
  } catch (error) {
    // A full disk must not make work unstoppable. A crash now would report how the process died instead of why.
    deps.log.error(
      { attempt: attempt.key, intent: kind, error: String(error) },
      'a decision could not be written down',
    );
  }
  attempt.intent = intent;
  deps.log.info({ attempt: attempt.key, intent: kind, detail: options.detail }, 'stopping an attempt');
  attempt.changed.notify();
};

/** Uptime of a claim or renewal that was written down, on this boot's clock. */
export const renewedAt = (moment: Intent['at'], clock: Clock, boot_id: string): number =>
  clock.uptime_ms() - elapsedSince(moment, clock, boot_id);
