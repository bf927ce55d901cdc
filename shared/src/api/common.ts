import { z } from 'zod';

/** Row ids are positive integers; as path and query parameters they arrive as digits. */
export const Id = z.int().positive();
export const IdParam = z
  .union([z.string(), z.number()])
  .transform(String)
  // Digits alone: Number() would also take "0x2", "2e0" and " 2".
  .pipe(z.string().regex(/^[1-9]\d{0,14}$/, 'use a positive whole number'))
  .transform(Number)
  .pipe(z.int().positive());
export const IdParams = z.object({ id: IdParam });

/** A number that fits Postgres' integer: a larger one would fail in the database, not here. */
export const Int32 = z.int().min(-2_147_483_648).max(2_147_483_647);
export const Count = Int32.min(0);

/** ISO 8601 UTC with milliseconds, as every time on the wire. Input may carry any offset. */
export const Timestamp = z.string();
export const TimestampInput = z.iso.datetime({ offset: true });

/** Names are lower-case so that they can be typed, mentioned and compared: `scout`, `build-host-3`. */
export const Name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'use 1–63 of a–z, 0–9, ".", "_" and "-", starting with a letter or digit');

export const Tag = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/=-]{0,62}$/, 'use 1–63 letters, digits and . _ : / = -');
export const Tags = z.array(Tag).max(32);

/** Any JSON value; one schema, so that the API document can name it. */
export const Json = z.json();

/** True when Postgres can store every string in it: no NUL, no lone surrogates. */
const isStorable = (value: unknown): boolean => {
  if (typeof value === 'string') return !value.includes('\u0000') && value.isWellFormed();
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([key, inner]) => isStorable(key) && isStorable(inner));
};

/** Any JSON value that can be stored. */
export const StorableJson = Json.refine(isStorable, 'must not contain NUL characters or lone surrogates');

/** Free JSON from people and hosts: shown, never matched. 16 KiB at most. */
export const Metadata = z
  .record(z.string().max(100), Json)
  .refine((value) => JSON.stringify(value).length <= 16_384, 'at most 16 KiB of JSON')
  .refine(isStorable, 'must not contain NUL characters or lone surrogates');

/** A text that may be stored in Postgres: no NUL characters. */
export const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => !value.includes('\u0000'), 'must not contain NUL characters')
    .refine((value) => value.isWellFormed(), 'must be well-formed Unicode (no lone surrogates)');

/** A query-string boolean: `1`, `true`, `yes` / `0`, `false`, `no`. */
export const QueryFlag = z.stringbool();

/** A repeated or comma-separated query parameter: `?status=inbox,assigned`. */
export const commaList = <T extends z.ZodType<unknown, string>>(item: T) =>
  z
    .string()
    .transform((value) => value.split(',').filter((part) => part !== ''))
    .pipe(z.array(item).min(1).max(50));

/** Cursor pagination: `next_cursor` is opaque and null on the last page. */
export const PageQuery = z.object({
  cursor: z.string().max(200).optional(),
  limit: z.coerce.number().pipe(z.int().min(1).max(500)).default(50),
});
export const NextCursor = z.string().nullable();

/** A closed set that may grow: clients of an older version must not choke on a newer value. */
export const openEnum = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.union([z.enum(values), text(100) as unknown as z.ZodType<string & Record<never, never>>]);
