import { AppError } from '@flotilla/shared';

const PREFIX = 'id:';

/** Lists run newest first; a cursor names the last id shown. */
export const decodeCursor = (cursor: string | undefined): number => {
  if (cursor === undefined) return Number.MAX_SAFE_INTEGER;
  const decoded = Buffer.from(cursor, 'base64url').toString();
  const id = Number(decoded.slice(PREFIX.length));
  if (!decoded.startsWith(PREFIX) || !Number.isSafeInteger(id)) {
    throw new AppError('invalid_input', {
      sentence: 'cursor: not a cursor of this API',
      hint: 'pass next_cursor of the previous page, unchanged',
    });
  }
  return id;
};

/** Cuts a page from `limit + 1` rows. */
export const pageOf = <T extends { id: number }>(
  rows: T[],
  limit: number,
): { items: T[]; next_cursor: string | null } => {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { items, next_cursor: more ? Buffer.from(`${PREFIX}${last.id}`).toString('base64url') : null };
};
