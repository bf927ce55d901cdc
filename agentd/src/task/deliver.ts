import { describeError, untilAnswered } from '../answers.ts';
import type { Deps } from '../deps.ts';
import { writeDurable } from '../local/files.ts';
import { type Report, writeJsonFile } from '../local/journal.ts';
import { buryReport } from '../local/outbox.ts';
import { type Attempt, setPhase } from './attempt.ts';
import { insteadOf } from './report.ts';

const send = async ({ client }: Deps, id: number, report: Report, signal: AbortSignal): Promise<void> => {
  const params = { id };
  if (report.verb === 'complete') await client.tasks.complete({ params, body: report.body }, { signal });
  else if (report.verb === 'fail') await client.tasks.fail({ params, body: report.body }, { signal });
  else await client.tasks.unclaim({ params, body: report.body }, { signal });
};

/**
 * Delivers the terminal report, however long that takes. It is forgotten when the coordinator has it, or says that the
 * lease is lost (it keeps the body as evidence). What it refuses for ever goes to the dead letters, and a plain failure
 * is sent in place of a result: else the task would run again until its limits, each time to be refused.
 */
export const deliverReport = async (
  deps: Deps,
  attempt: Attempt,
  report: Report,
  signal: AbortSignal,
): Promise<void> => {
  const { log, crash, outbox, paths } = deps;
  const answer = await untilAnswered(deps, {
    what: `${report.verb} of ${attempt.key}`,
    deadline_ms: 30_000,
    signal,
    gate: outbox.gate,
    call: (limited) => send(deps, attempt.record.task.id, report, limited),
  });
  if (answer === null) return;
  crash('report.sent');
  if (answer.kind === 'refusal' && answer.refusal === 'refused') {
    await buryReport(paths, outbox, attempt.key, report, answer.error);
    log.error(
      { attempt: attempt.key, error: describeError(answer.error) },
      'a report is refused for ever: it is kept in dead-letter',
    );
    const substitute = insteadOf(report, answer.error);
    if (substitute !== null) {
      await writeJsonFile(attempt.files.report, substitute);
      return deliverReport(deps, attempt, substitute, signal);
    }
  }
  const outcome = answer.kind === 'answer' ? 'delivered' : answer.refusal;
  await writeDurable(attempt.files.acked, `${outcome}\n`);
  log.info({ attempt: attempt.key, verb: report.verb, outcome }, 'report settled');
  setPhase(deps, attempt, 'acked');
  crash('report.acked');
};
