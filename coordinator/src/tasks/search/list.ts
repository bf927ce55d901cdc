import type { Sql } from '../../db/client.ts';
import { decodePlace, encodePlace } from '../../db/page.ts';
import { plannedAnew } from '../../db/database.ts';
import type { Deps } from '../../deps.ts';
import { searchQuery } from './query.ts';

/** Of so many newest matches the best are shown; more would be read and sorted for nothing. */
const RANKED = 10_000;

type Found = { ids: number[]; next_cursor: string | null };

/**
 * One page of the tasks that match, best first, among equals the newest. `from` says among
 * which, with `t` and `task_search s`. Served by task_search_document.
 */
export const searchTasks = async (
  deps: Deps,
  page: { search: string; cursor?: string | undefined; limit: number },
  from: ReturnType<Sql>,
): Promise<Found> => {
  const query = await searchQuery(deps.db.sql, page.search);
  const after = decodePlace(page.cursor, 2);
  if (query === null) return { ids: [], next_cursor: null };
  const rows = await plannedAnew(
    deps.db,
    (sql) => sql<{ id: number; rank: number }[]>`
    with found as materialized (
      select t.id, s.document ${from} and s.document @@ ${query}::tsquery order by t.id desc limit ${RANKED}),
    ranked as (select id, ts_rank(document, ${query}::tsquery)::float8 as rank from found)
    select id, rank from ranked
    ${after === null ? sql`` : sql`where (rank, id) < (${after[0] ?? 0}::float8, ${after[1] ?? 0}::bigint)`}
    order by rank desc, id desc limit ${page.limit + 1}`,
  );
  const items = rows.slice(0, page.limit);
  const last = items.at(-1);
  const more = rows.length > page.limit && last !== undefined;
  return { ids: items.map(({ id }) => id), next_cursor: more ? encodePlace([last.rank, last.id]) : null };
};
