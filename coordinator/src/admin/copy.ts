import type { Readable } from 'node:stream';

import type { Sql } from '../db/client.ts';
import type { Table } from './format.ts';

/** Rows come one by one; frames of about this size cost neither memory nor a frame per row. */
const PIECE_BYTES = 256 * 1024;

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const columnsOf = (table: Table): string => `public.${quote(table.name)} (${table.columns.map(quote).join(', ')})`;

/** What the text form of a value depends on: the same when it is written and when it is read. */
export const setTextFormat = async (sql: Sql): Promise<void> => {
  await sql.unsafe(`set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres'; set local timezone = 'UTC';
    set local bytea_output = 'hex'; set local extra_float_digits = 1; set local search_path = public;
    set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0; set local lock_timeout = '30s'`);
};

/** All rows of a table in COPY's text form, in pieces of at most `PIECE_BYTES` that end anywhere. */
export async function* copyOut(sql: Sql, table: Table): AsyncGenerator<Buffer> {
  const rows = await sql.unsafe(`copy ${columnsOf(table)} to stdout`).readable();
  let held: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of rows as AsyncIterable<Buffer>) {
    held.push(chunk);
    bytes += chunk.length;
    if (bytes < PIECE_BYTES) continue;
    yield* pieces(held);
    held = [];
    bytes = 0;
  }
  yield* pieces(held);
  goOn(rows);
}

/**
 * The driver pauses its socket while rows wait to be read, and never goes on when they were the last ones: the answer
 * to the next query would not arrive. What it does whenever somebody wants more is what goes on.
 */
const goOn = (rows: Readable): void => {
  try {
    rows._read(0);
  } catch {
    // The connection is closed; the next query says so.
  }
};

function* pieces(chunks: Buffer[]): Generator<Buffer> {
  const all = Buffer.concat(chunks);
  for (let at = 0; at < all.length; at += PIECE_BYTES) yield all.subarray(at, at + PIECE_BYTES);
}

export type CopyIn = {
  write(bytes: Buffer): Promise<void>;
  end(): Promise<void>;
  /** Gives up, so that the connection can roll back. */
  abort(error: unknown): void;
};

/** Takes what `copyOut` gave. Identity columns keep their values: COPY overrides them. */
export const copyIn = async (sql: Sql, table: Table): Promise<CopyIn> => {
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => (fail = reject));
  failed.catch(() => {
    // Whoever waits below hears it; without a listener here it would end the process between two waits.
  });
  const query = sql.unsafe(`copy ${columnsOf(table)} from stdin`);
  // The driver settles this query when the copying begins, and drops an error that comes after the last byte: its
  // stream would wait for ever. So the error is caught where the driver hands it over.
  void Object.assign(query, { reject: fail });
  const rows = await Promise.race([query.writable(), failed]);
  rows.on('error', fail);
  const taken = (give: (done: (error?: Error | null) => void) => void): Promise<void> =>
    Promise.race([
      new Promise<void>((resolve, reject) => give((error) => (error == null ? resolve() : reject(error)))),
      failed,
    ]);
  return {
    write: (bytes) => taken((done) => rows.write(bytes, done)),
    end: () => taken((done) => rows.end(done)),
    abort: (error) => void rows.destroy(error instanceof Error ? error : new Error(String(error))),
  };
};
