import type { RouteInput, UsageReport, api } from '@flotilla/shared';

import type { Database } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { lockAttempt } from './attempt-row.ts';
import { renewHeld } from './renew.ts';

type NewUsage = { workspace_id: number; attempt_id: number; usage: UsageReport };

/**
 * Stores usage reports, each once per (attempt, seq), and brings their attempts' totals up to date: the newest cumulative
 * report plus all deltas. A price is unknown until somebody reports one.
 */
export const storeUsage = async ({ sql }: Database, reports: NewUsage[]): Promise<void> => {
  if (reports.length === 0) return;
  const stored = await sql<{ attempt_id: number }[]>`
    insert into attempt_usage (workspace_id, attempt_id, seq, mode, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd_micros)
    select * from unnest(${reports.map((r) => r.workspace_id)}::bigint[], ${reports.map((r) => r.attempt_id)}::bigint[],
      ${reports.map(({ usage }) => usage.seq)}::int[], ${reports.map(({ usage }) => usage.mode)}::text[],
      ${reports.map(({ usage }) => usage.model ?? null)}::text[], ${reports.map(({ usage }) => usage.input_tokens)}::bigint[],
      ${reports.map(({ usage }) => usage.output_tokens)}::bigint[], ${reports.map(({ usage }) => usage.cache_read_tokens)}::bigint[],
      ${reports.map(({ usage }) => usage.cache_write_tokens)}::bigint[], ${reports.map(({ usage }) => usage.cost_usd_micros ?? null)}::bigint[])
    on conflict do nothing returning attempt_id`;
  if (stored.length === 0) return;
  await sql`
    with counted as (
      select attempt_id, input_tokens, output_tokens, cost_usd_micros from attempt_usage
      where attempt_id = any(${stored.map((row) => row.attempt_id)}::bigint[]) and mode = 'delta'
      union all
      (select distinct on (attempt_id) attempt_id, input_tokens, output_tokens, cost_usd_micros from attempt_usage
       where attempt_id = any(${stored.map((row) => row.attempt_id)}::bigint[]) and mode = 'cumulative'
       order by attempt_id, seq desc)
    ), total as (
      select attempt_id, sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens, sum(cost_usd_micros)::bigint as cost
      from counted group by attempt_id
    )
    update attempts set input_tokens = total.input_tokens, output_tokens = total.output_tokens, cost_usd_micros = total.cost
    from total where id = total.attempt_id`;
};

/** Usage of an attempt is welcome even after it lost its task: the money was spent. */
export const reportUsage = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.usage>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const held = await lockAttempt({ ...deps, db }, principal, params.id, body.epoch);
    await renewHeld(db.sql, [held]);
    await storeUsage(db, [{ workspace_id: principal.workspace_id, attempt_id: held.attempt.id, usage: body }]);
    return null;
  });
