/** What Postgres text can hold: no NUL, no lone surrogates. */
export const cleanText = (value: string): string => value.replaceAll('\u0000', '').toWellFormed();

/** The same for every string in a JSON value, keys included. */
export const cleanJson = (value: unknown): unknown => {
  if (typeof value === 'string') return cleanText(value);
  if (Array.isArray(value)) return value.map(cleanJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [cleanText(key), cleanJson(item)]));
};

/** The last `max` characters, with a visible mark where something was left out. */
export const keepTail = (value: string, max: number, cut = false): string => {
  if (value.length <= max && !cut) return value;
  const mark = '[flotilla: the beginning was left out, see the log]\n';
  return mark + value.slice(-Math.max(0, max - mark.length)).toWellFormed();
};
