import type { RouteInput, UsageReport, api } from '@flotilla/shared';

import type { Database } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { lockAttempt } from './attempt-row.ts';

/**
 * Stores one usage report, once per (attempt, seq), and brings the attempt's totals up to date: the newest cumulative
 * report plus all deltas. A price is unknown until somebody reports one.
 */
export const storeUsage = async (
  db: Database,
  workspace_id: number,
  attempt_id: number,
  usage: UsageReport,
): Promise<void> => {
  const stored = await db.sql`
    insert into attempt_usage (workspace_id, attempt_id, seq, mode, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd_micros)
    values (${workspace_id}, ${attempt_id}, ${usage.seq}, ${usage.mode}, ${usage.model ?? null}, ${usage.input_tokens}, ${usage.output_tokens},
      ${usage.cache_read_tokens}, ${usage.cache_write_tokens}, ${usage.cost_usd_micros ?? null})
    on conflict do nothing returning seq`;
  if (stored.length === 0) return;
  await db.sql`
    with counted as (
      select input_tokens, output_tokens, cost_usd_micros from attempt_usage where attempt_id = ${attempt_id} and mode = 'delta'
      union all
      (select input_tokens, output_tokens, cost_usd_micros from attempt_usage where attempt_id = ${attempt_id} and mode = 'cumulative'
       order by seq desc limit 1)
    ), total as (
      select sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens, sum(cost_usd_micros)::bigint as cost
      from counted
    )
    update attempts set input_tokens = total.input_tokens, output_tokens = total.output_tokens, cost_usd_micros = total.cost
    from total where id = ${attempt_id}`;
};

/** Usage of an attempt is welcome even after it lost its task: the money was spent. */
export const reportUsage = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.tasks.usage>,
): Promise<null> =>
  deps.db.transaction(async (db) => {
    const held = await lockAttempt(db, principal, params.id, body.epoch);
    await storeUsage(db, principal.workspace_id, held.attempt.id, body);
    return null;
  });
