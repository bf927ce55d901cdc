import { usageError } from '../exit.ts';

export const formats = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type Format = (typeof formats)[number];

const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90s`, `10m`, `2h`, `1d`, `1h30m` in seconds. A bare number has no unit and is refused rather than guessed. */
export const parseDuration = (text: string): number => {
  if (!/^(?:\d+[smhd])+$/.test(text))
    throw usageError(`"${text}" is not a duration.`, 'Write durations like 30s, 10m, 2h or 1d.');
  const seconds = [...text.matchAll(/(\d+)([smhd])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ''] ?? 0),
    0,
  );
  if (seconds > 3650 * 86_400) throw usageError(`"${text}" is longer than ten years.`);
  return seconds;
};

/** `90` → `90s`, `5400` → `1h30m`: at most two units. */
export const showDuration = (seconds: number): string => {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole}s`;
  const parts: string[] = [];
  let rest = whole;
  for (const [unit, size] of Object.entries(units).toReversed()) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count}${unit}`);
    else if (parts.length > 0) break;
  }
  return parts.slice(0, 2).join('');
};

export const showAge = (at: string | null, now: number): string =>
  at === null ? '-' : showDuration((now - Date.parse(at)) / 1000);

/** Future times as a distance, past ones as `… ago`. */
export const showWhen = (at: string | null, now: number): string => {
  if (at === null) return '-';
  const seconds = (Date.parse(at) - now) / 1000;
  return seconds >= 0 ? `in ${showDuration(seconds)}` : `${showDuration(-seconds)} ago`;
};

/** Null is "unpriced", which is not the same as free. */
export const showCost = (usd_micros: number | null): string =>
  usd_micros === null ? '-' : `$${(usd_micros / 1e6).toFixed(4)}`;

export const showList = (items: readonly string[]): string => (items.length === 0 ? '-' : items.join(','));

const TIME_HINT = 'Write an ISO 8601 time like 2031-05-01T08:00:00Z, or a duration from now like 2h.';

/** An ISO 8601 time, or a duration from now. */
export const parseTime = (text: string, now: number): string => {
  if (/^(?:\d+[smhd])+$/.test(text)) return new Date(now + parseDuration(text) * 1000).toISOString();
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw usageError(`"${text}" is not a time.`, TIME_HINT);
  return new Date(at).toISOString();
};
