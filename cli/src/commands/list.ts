import type { View } from '../output/view.ts';
import { type Page, paginate } from '../paginate.ts';
import type { Session } from '../session.ts';
import type { PageOptions } from './options.ts';

/** The common end of every `list`: pages, prints, and says on stderr when there is more. */
export const printPages = async <T>(
  session: Session,
  plural: string,
  view: View<T>,
  options: PageOptions,
  fetchPage: (query: { cursor?: string; limit: number }) => Promise<Page<T>>,
): Promise<void> => {
  const { rows, next_cursor } = await paginate(fetchPage, options);
  await session.out.list(view, rows, { [plural]: rows, next_cursor });
  if (next_cursor !== null) session.say(`There are more ${view.plural}: use --limit n or --all.`);
};
