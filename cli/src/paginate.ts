/** The largest page that the contract allows. */
const PAGE = 500;

export type Page<T> = { rows: T[]; next_cursor: string | null };
export type PageSize = { all?: boolean; limit?: number };

/** Follows cursors until `limit` rows (default one page of 50) or, with `all`, until the end. */
export const paginate = async <T>(
  fetchPage: (query: { cursor?: string; limit: number }) => Promise<Page<T>>,
  { all = false, limit = 50 }: PageSize,
): Promise<Page<T>> => {
  const rows: T[] = [];
  let cursor: string | null = null;
  for (;;) {
    const want = all ? PAGE : Math.min(PAGE, limit - rows.length);
    const page: Page<T> = await fetchPage(cursor === null ? { limit: want } : { cursor, limit: want });
    rows.push(...page.rows);
    cursor = page.next_cursor;
    if (cursor === null || (!all && rows.length >= limit)) return { rows, next_cursor: cursor };
  }
};
