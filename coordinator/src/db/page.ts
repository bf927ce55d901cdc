import { AppError } from '@flotilla/shared';

const PREFIX = 'id:';

const notACursor = (): AppError =>
  new AppError('invalid_input', {
    sentence: 'cursor: not a cursor of this API',
    hint: 'pass next_cursor of the previous page, unchanged',
  });

/** Lists run newest first; a cursor names the last id shown. */
export const decodeCursor = (cursor: string | undefined): number => {
  if (cursor === undefined) return Number.MAX_SAFE_INTEGER;
  const decoded = Buffer.from(cursor, 'base64url').toString();
  const id = Number(decoded.slice(PREFIX.length));
  if (!decoded.startsWith(PREFIX) || !Number.isSafeInteger(id)) {
    throw notACursor();
  }
  return id;
};

/** Cursors of lists in another order than by id: the numbers of the last row's place. */
export const encodePlace = (place: readonly number[]): string =>
  Buffer.from(`at:${place.join(':')}`).toString('base64url');

/** The place a cursor names, as `count` numbers; null without one. */
export const decodePlace = (cursor: string | undefined, count: number): number[] | null => {
  if (cursor === undefined) return null;
  const [prefix, ...parts] = Buffer.from(cursor, 'base64url').toString().split(':');
  const place = parts.map((part) => (/^-?\d+(\.\d+)?(e-?\d+)?$/.test(part) ? Number(part) : Number.NaN));
  if (
    prefix !== 'at' ||
    place.length !== count ||
    !place.every((number) => Math.abs(number) <= Number.MAX_SAFE_INTEGER)
  )
    throw notACursor();
  return place;
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
