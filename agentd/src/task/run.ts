import { rm } from 'node:fs/promises';

import { group } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import { type Report, trashAttempt, writeJsonFile } from '../local/journal.ts';
import { announceStart } from './announce.ts';
import { uploadAttachments } from './attach.ts';
import { type Attempt, setPhase } from './attempt.ts';
import { deliverReport } from './deliver.ts';
import { launchAttempt } from './launch.ts';
import { uploadLog } from './output.ts';
import { composeReport } from './report.ts';
import { stopAttempt } from './stop.ts';
import { watchAttempt } from './watch.ts';
import { releaseWorkdir } from './workspace.ts';

/** From whatever the directory says to a report on disk; null when agentd detaches before that. */
const reachReport = async (deps: Deps, attempt: Attempt, signal: AbortSignal): Promise<Report | null> => {
  const launched = attempt.intent === null ? await launchAttempt(deps, attempt) : null;
  const seen = await watchAttempt(deps, attempt, launched, signal);
  if (seen === 'detached') return null;
  if (seen === 'exited') setPhase(deps, attempt, 'exited');
  deps.crash('exit.seen');
  await stopAttempt(deps, attempt, signal);
  if (signal.aborted) return null;
  deps.crash('tree.swept');
  // Before the report: an attempt that has ended takes no files any more.
  await uploadAttachments(deps, attempt, signal);
  if (signal.aborted) return null;
  deps.crash('attachments.settled');
  const report = await composeReport(deps, attempt);
  await writeJsonFile(attempt.files.report, report);
  await releaseWorkdir(attempt);
  attempt.report = report;
  setPhase(deps, attempt, 'reporting');
  deps.crash('report.written');
  return report;
};

const work = async (deps: Deps, attempt: Attempt, signal: AbortSignal): Promise<void> => {
  if (attempt.phase === 'acked') return;
  const report = attempt.report ?? (await reachReport(deps, attempt, signal));
  if (report !== null) await deliverReport(deps, attempt, report, signal);
};

/**
 * Drives one attempt from whatever state its directory is in until nothing is left of it: persist, act, report, forget
 * on acknowledgement. May be interrupted anywhere, by an abort or by a crash, and called again.
 */
export const runAttempt = async (deps: Deps, attempt: Attempt, signal: AbortSignal): Promise<void> => {
  await group(
    {
      work: (inner) => work(deps, attempt, inner),
      announce: (inner) => announceStart(deps, attempt, inner),
      stdout: (inner) => uploadLog(deps, attempt, 'stdout', inner),
      stderr: (inner) => uploadLog(deps, attempt, 'stderr', inner),
    },
    signal,
  );
  if (signal.aborted) return;
  deps.crash('log.finished');
  const trash = await trashAttempt(attempt.files);
  deps.crash('attempt.trashed');
  await rm(trash, { recursive: true, force: true });
  deps.crash('attempt.forgotten');
};
