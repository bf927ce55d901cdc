import type { UsageReport } from '@flotilla/shared';

import type { Database } from '../db/database.ts';
import { leaseLost, type Held } from './attempt-row.ts';
import { storeUsage } from './usage.ts';

type Report = { log_sizes: { stdout?: number; stderr?: number }; usage?: UsageReport };

/** What terminal reports carry along: final log sizes and the last usage. Also for an attempt that lost its task. */
export const storeReportExtras = async (db: Database, reports: { held: Held; report: Report }[]): Promise<void> => {
  const streams = reports.flatMap(({ held, report }) =>
    Object.entries(report.log_sizes).map(([stream, size]) => ({ held, stream, size })),
  );
  if (streams.length > 0) {
    await db.sql`
      insert into attempt_streams (workspace_id, attempt_id, stream, final_size)
      select * from unnest(${streams.map(({ held }) => held.task.workspace_id)}::bigint[], ${streams.map(({ held }) => held.attempt.id)}::bigint[],
        ${streams.map(({ stream }) => stream)}::text[], ${streams.map(({ size }) => size)}::bigint[])
      on conflict (attempt_id, stream) do update set final_size = greatest(excluded.final_size, attempt_streams.size)
      where attempt_streams.final_size is null`;
  }
  await storeUsage(
    db,
    reports.flatMap(({ held, report: { usage } }) =>
      usage === undefined ? [] : [{ workspace_id: held.task.workspace_id, attempt_id: held.attempt.id, usage }],
    ),
  );
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
  await storeReportExtras(db, [{ held, report: body }]);
  await db.sql`
    update attempts set late_result = ${JSON.stringify({ report: kind, ...body })}::text::jsonb
    where id = ${held.attempt.id} and late_result is null`;
  return leaseLost(held);
};
