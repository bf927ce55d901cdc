import type { verdicts } from '@flotilla/shared';

import type { Database } from '../../db/database.ts';
import { type Principal, principalLabel } from '../../principal.ts';
import { insertComment } from '../comments/create.ts';

export type Verdict = { task_id: number; verdict: (typeof verdicts)[number]; feedback: string | null };

/** Keeps a verdict on the newest attempt's work, and says its feedback as a comment; in the transaction of the edge. */
export const recordReview = async (db: Database, principal: Principal, review: Verdict): Promise<void> => {
  const { task_id, verdict, feedback } = review;
  const said = feedback === null ? null : { task_id, reply_to: null, text: feedback, mentions: [] };
  const comment_id = said === null ? null : await insertComment(db, principal, said);
  await db.sql`
    insert into quality_reviews (workspace_id, task_id, attempt_id, verdict, feedback, comment_id, reviewer, reviewer_kind, reviewer_id)
    values (${principal.workspace_id}, ${task_id}, (select id from attempts where task_id = ${task_id} order by number desc limit 1),
      ${verdict}, ${feedback}, ${comment_id}, ${principalLabel(principal)}, ${principal.kind}, ${principal.id})`;
};
