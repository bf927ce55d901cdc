import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { createGunzip } from 'node:zlib';

import type { z } from 'zod';

import { AdminError } from './error.ts';
import {
  countRows,
  FORMAT,
  type FrameKind,
  frameKinds,
  Header,
  MAGIC,
  MAX_FRAME_BYTES,
  Table,
  Trailer,
} from './format.ts';

export type Part =
  | { kind: 'header'; header: Header }
  | { kind: 'table'; table: Table }
  | { kind: 'data'; bytes: Buffer }
  /** Everything was read and is what was written. */
  | { kind: 'end'; rows: number };

const NEWLINE = 10;
const LONGEST_LINE = 64;

const damaged = (path: string, what: string, cause?: unknown): AdminError =>
  new AdminError(
    `${path} is not a complete Flotilla backup: ${what}. Nothing was changed; take another backup file, or copy this one again.`,
    { cause },
  );

/**
 * Reads a backup part by part and checks it on the way; throws at the first thing that is not as written. Only the part
 * `end` says that the file is whole, so whoever acts on the parts must be able to undo until then.
 */
export async function* readBackup(path: string): AsyncGenerator<Part> {
  const { size } = await stat(path);
  const gunzip = createGunzip({ chunkSize: 256 * 1024 });
  const file = createReadStream(path);
  pipeline(file, gunzip, () => {
    // An error of the file arrives below, through gunzip.
  });
  try {
    yield* checkParts(path, createReader(path, gunzip));
    if (gunzip.bytesWritten !== size) throw damaged(path, 'something follows its end');
  } catch (error) {
    const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
    if (code.startsWith('Z_')) throw damaged(path, 'it is truncated or altered', error);
    throw error;
  } finally {
    file.destroy();
    gunzip.destroy();
  }
}

async function* checkParts(path: string, reader: Reader): AsyncGenerator<Part> {
  await checkMagic(path, reader);
  const first = await nextFrame(path, reader);
  if (first.kind !== 'header') throw damaged(path, 'its header is missing');
  const header = parseFrame(path, Header, first.payload);
  yield { kind: 'header', header };
  const seen: Trailer = { header_sha256: createHash('sha256').update(first.payload).digest('hex'), tables: {} };
  let open: { name: string; rows: number; bytes: number; hash: Hash } | null = null;
  const close = () => {
    if (open !== null) seen.tables[open.name] = { rows: open.rows, bytes: open.bytes, sha256: open.hash.digest('hex') };
    open = null;
  };
  for (;;) {
    const { kind, payload } = await nextFrame(path, reader);
    if (kind === 'table') {
      close();
      const table = parseFrame(path, Table, payload);
      open = { name: table.name, rows: 0, bytes: 0, hash: createHash('sha256') };
      yield { kind, table };
    } else if (kind === 'data' && open !== null) {
      open.hash.update(payload);
      open.bytes += payload.length;
      open.rows += countRows(payload);
      yield { kind, bytes: payload };
    } else if (kind === 'trailer') {
      close();
      if (!isDeepStrictEqual(parseFrame(path, Trailer, payload), seen)) throw damaged(path, 'it was altered');
      if (!(await reader.atEnd())) throw damaged(path, 'something follows its end');
      yield { kind: 'end', rows: Object.values(seen.tables).reduce((sum, { rows }) => sum + rows, 0) };
      return;
    } else throw damaged(path, `a ${kind} is in the wrong place`);
  }
}

const checkMagic = async (path: string, reader: Reader): Promise<void> => {
  const [magic, format] = (await reader.line()).split(' ');
  if (magic !== MAGIC) throw damaged(path, 'it is something else');
  if (Number(format) > FORMAT)
    throw new AdminError(`${path} was written by a newer Flotilla (format ${format}); restore it with that version.`);
};

const nextFrame = async (path: string, reader: Reader): Promise<{ kind: FrameKind; payload: Buffer }> => {
  const [word, length] = (await reader.line()).split(' ');
  const kind = frameKinds.find((candidate) => candidate === word);
  const bytes = Number(length);
  if (kind === undefined || !Number.isSafeInteger(bytes) || bytes < 0 || bytes > MAX_FRAME_BYTES)
    throw damaged(path, 'it is truncated or altered');
  const payload = await reader.take(bytes + 1);
  return { kind, payload: payload.subarray(0, bytes) };
};

const parseFrame = <T>(path: string, schema: z.ZodType<T>, payload: Buffer): T => {
  try {
    return schema.parse(JSON.parse(payload.toString()));
  } catch (error) {
    throw damaged(path, 'it was altered', error);
  }
};

type Reader = { take(bytes: number): Promise<Buffer>; line(): Promise<string>; atEnd(): Promise<boolean> };

const createReader = (path: string, source: AsyncIterable<Buffer>): Reader => {
  const chunks = source[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  const more = async (): Promise<boolean> => {
    const next = await chunks.next();
    if (next.done !== true) held = held.length === 0 ? next.value : Buffer.concat([held, next.value]);
    return next.done !== true;
  };
  const take = async (bytes: number): Promise<Buffer> => {
    while (held.length < bytes) if (!(await more())) throw damaged(path, 'it is truncated');
    const taken = held.subarray(0, bytes);
    held = held.subarray(bytes);
    return taken;
  };
  return {
    take,
    line: async () => {
      for (let at = held.indexOf(NEWLINE); ; at = held.indexOf(NEWLINE)) {
        if (at !== -1 && at <= LONGEST_LINE) return (await take(at + 1)).toString('latin1', 0, at);
        if (held.length > LONGEST_LINE) throw damaged(path, 'it is something else');
        if (!(await more())) throw damaged(path, 'it is truncated');
      }
    },
    atEnd: async () => held.length === 0 && !(await more()),
  };
};

/** Reads the whole file and changes nothing. */
export const checkBackup = async (path: string): Promise<{ header: Header; rows: number }> => {
  let header: Header | null = null;
  for await (const part of readBackup(path)) {
    if (part.kind === 'header') header = part.header;
    if (part.kind === 'end' && header !== null) return { header, rows: part.rows };
  }
  throw damaged(path, 'it is truncated');
};
