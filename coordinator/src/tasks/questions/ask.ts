import { type api, AppError, type RouteInput, type TaskStatus } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { announce, announceEnded } from '../announce.ts';
import { digestReport, lockAttempt } from '../attempt-row.ts';
import { insertComment } from '../comments/create.ts';
import { knownMentions } from '../comments/mentions.ts';
import { endAttempt, returnTask } from '../lifecycle.ts';
import { indexTask } from '../search/index-task.ts';
import { keepLateReport, storeReportExtras } from '../settle.ts';

/**
 * An attempt ends with a question to a person. The task goes back to its queue, counted as nothing, and nobody can claim it
 * until the answer. The same question again answers as before; the report that the host sends afterwards is late.
 */
export const askPerson = async (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.ask>,
): Promise<{ status: TaskStatus }> => {
  const digest = digestReport('ask', body);
  const outcome = await deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    const held = await lockAttempt(inner, principal, params.id, body.epoch);
    const { attempt, task } = held;
    if (attempt.report_digest !== null && Buffer.compare(attempt.report_digest, digest) === 0)
      return { status: task.status };
    if (!held.live) return keepLateReport(db, held, 'ask', body);
    await endAttempt(db, attempt, {
      state: 'released',
      failure: { kind: 'asked', message: 'It ended with a question to a person.' },
      session_id: body.session_id ?? null,
      report_digest: digest,
    });
    await storeReportExtras(db, { held, report: body });
    const mentions = await knownMentions(db.sql, task.workspace_id, body.question);
    const said = { task_id: task.id, reply_to: null, text: body.question, mentions, question: true };
    const asked_comment_id = await insertComment(db, principal, said);
    const status = await returnTask(db, task, {
      counter: null,
      failure: null,
      defer_ms: 0,
      event: 'task.asked',
      asked_comment_id,
    });
    await indexTask(db, task.id);
    announceEnded(inner, [task]);
    announce(inner, null);
    const host = principal.kind === 'attempt' ? task.claimed_by_agent_id : null;
    db.afterCommit(() => {
      deps.hub.raise('log', attempt.id);
      // Its host did not ask: it beats now, and hears that the attempt is over.
      if (host !== null) deps.hub.raise('interrupt', host);
    });
    return { status };
  });
  deps.metrics.reports.inc({ kind: 'ask', verdict: outcome instanceof AppError ? 'late' : 'accepted' });
  if (outcome instanceof AppError) throw outcome;
  return outcome;
};
