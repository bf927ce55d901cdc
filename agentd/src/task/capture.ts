import { open, stat } from 'node:fs/promises';

import type { CapturedOutput } from '../executors/executor.ts';

/** What an executor reads of a stream: its end, where results are. */
const CAPTURE = 1024 * 1024;

/** Reads the end of one stream as text; invalid UTF-8 becomes replacement characters. */
export const captureOutput = async (path: string, max_log_bytes: number): Promise<CapturedOutput> => {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0, // never started
  );
  if (size === 0) return { text: '', cut: false };
  const from = Math.max(0, size - CAPTURE);
  const buffer = Buffer.alloc(size - from);
  const handle = await open(path, 'r');
  try {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
    // A cut may fall inside a character: its continuation bytes are dropped.
    const whole = buffer.subarray(0, 3).findIndex((byte) => (byte & 0xc0) !== 0x80);
    const start = from > 0 ? Math.max(0, whole) : 0;
    return { text: buffer.toString('utf8', start, bytesRead), cut: from > 0 || size > max_log_bytes };
  } finally {
    await handle.close();
  }
};
