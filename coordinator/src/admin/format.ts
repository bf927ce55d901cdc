import { z } from 'zod';

/** First line of every backup, whatever its format, so that an older build can say what it cannot read. */
export const MAGIC = 'flotilla-backup';
export const FORMAT = 1;
/** No frame is longer, so that reading needs this much memory whatever the file claims. */
export const MAX_FRAME_BYTES = 4 * 1_048_576;

const Identifier = z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/);
const Digest = z.string().regex(/^[0-9a-f]{64}$/);

export const Table = z.object({ name: Identifier, columns: z.array(Identifier).min(1) });
export type Table = z.infer<typeof Table>;

export const Header = z.object({
  flotilla_version: z.string(),
  created_at: z.iso.datetime(),
  /** The newest migration of the database: which schema the rows fit. */
  migration: z.object({ when: z.number(), hash: Digest }),
  tables: z.array(Table),
  /** Last values; one that never gave a number is left out. */
  sequences: z.record(Identifier, z.number().int().positive()),
});
export type Header = z.infer<typeof Header>;

/** What was written, to be compared with what is read. Any difference and the file is refused. */
export const Trailer = z.object({
  header_sha256: Digest,
  tables: z.record(Identifier, z.object({ rows: z.number().int(), bytes: z.number().int(), sha256: Digest })),
});
export type Trailer = z.infer<typeof Trailer>;

export const frameKinds = ['header', 'table', 'data', 'trailer'] as const;
export type FrameKind = (typeof frameKinds)[number];

/** `kind length`, the payload, a line end: `zcat backup | head` shows a person what is inside. */
export const frame = (kind: FrameKind, payload: Uint8Array | string): Buffer => {
  const bytes = Buffer.from(payload);
  if (bytes.length > MAX_FRAME_BYTES) throw new Error(`a ${kind} frame of ${bytes.length} bytes`);
  return Buffer.concat([Buffer.from(`${kind} ${bytes.length}\n`), bytes, Buffer.from('\n')]);
};

const NEWLINE = 10;

/** Rows in COPY's text form: it escapes line ends inside values, so each of them ends a row. */
export const countRows = (bytes: Uint8Array): number => {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
};
