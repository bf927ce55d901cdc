import { untilAnswered } from '../answers.ts';
import type { Deps } from '../deps.ts';
import { abortWhen } from '../notifier.ts';
import { type Attempt, requestStop } from './attempt.ts';

/** Tells the coordinator that the executor runs. The run never waits for it; a lost lease in the answer is an order. */
export const announceStart = async (deps: Deps, attempt: Attempt, signal: AbortSignal): Promise<void> => {
  while (attempt.phase === 'claimed' && !signal.aborted) await attempt.changed.wait(60_000, signal);
  if (attempt.phase === 'reporting' || attempt.phase === 'acked') return;
  const { signal: unreported, stop } = abortWhen(attempt.changed, () => attempt.phase === 'acked', signal);
  const { id, epoch } = attempt.record.task;
  try {
    const answer = await untilAnswered(deps, {
      what: `start of ${attempt.key}`,
      deadline_ms: 15_000,
      signal: unreported,
      call: (limited) =>
        deps.client.tasks.start(
          { params: { id }, body: { epoch, executor: attempt.record.executor } },
          { signal: limited },
        ),
    });
    if (answer === null) return;
    deps.crash('attempt.started');
    if (answer.kind === 'refusal' && answer.refusal !== 'refused') await requestStop(deps, attempt, 'lost');
  } finally {
    stop();
  }
};
