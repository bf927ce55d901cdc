import type { UsageReport } from '@flotilla/shared';

import type { Database } from '../db/database.ts';
import { leaseLost, type Held } from './attempt-row.ts';

type Report = { log_sizes?: { stdout?: number; stderr?: number }; usage?: UsageReport };
type Reported = { held: Held; report: Report };

/**
 * What reports carry along: final log sizes and usage, each once per (attempt, seq). Also of an attempt that lost its task.
 * One call: drizzle/0011_complete_in_one_call.sql.
 */
export const storeReportExtras = async (db: Database, { held, report }: Reported): Promise<void> => {
  const { log_sizes = {}, usage = null } = report;
  if (usage === null && Object.keys(log_sizes).length === 0) return;
  const extras = [{ workspace_id: held.task.workspace_id, attempt_id: held.attempt.id, log_sizes, usage }];
  await db.sql`select flotilla_store_extras(${JSON.stringify(extras)}::text::json)`;
};

/**
 * A report that came too late: kept as evidence on the attempt, the task untouched. Answers the error to throw after
 * the commit, so that the evidence is not rolled back with it.
 */
export const keepLateReport = async (
  db: Database,
  held: Held,
  kind: string,
  body: Report,
): Promise<ReturnType<typeof leaseLost>> => {
  await storeReportExtras(db, { held, report: body });
  await db.sql`
    update attempts set late_result = ${JSON.stringify({ report: kind, ...body })}::text::jsonb
    where id = ${held.attempt.id} and late_result is null`;
  return leaseLost(held);
};
