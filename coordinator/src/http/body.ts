import type { IncomingMessage } from 'node:http';

import { AppError } from '@flotilla/shared';
import type { Context } from 'hono';

import { type Environment, headerOf } from './environment.ts';

/** Deeper JSON than this is nobody's task; recursive parsers would run out of stack. */
const MAX_DEPTH = 64;
/** Of a body that is refused for its size, this much is still taken in: most clients read no answer while they send. */
const MAX_DISCARDED_BYTES = 32 * 1024 * 1024;

/**
 * A body that came with its headers, as small ones do: it lies in the socket's buffer, and takes no events to collect.
 * Null if some of it is still to come.
 */
const takeArrived = (incoming: IncomingMessage, length: number): Buffer | null => {
  if (length === 0 || incoming.readableLength !== length) return null;
  const bytes = incoming.read() as Buffer | null; // no encoding was set, so it is a buffer
  incoming.resume(); // to its end, or the connection counts as one with an unread body
  return bytes;
};

/**
 * Reads at most `max_bytes`; what is longer is refused without being kept. A body that says its length cannot be longer
 * than it says, and is read whole: `request.body` would build a web stream for every request, at a third of its cost.
 */
export const readBytes = async (c: Context<Environment>, max_bytes: number): Promise<Uint8Array> => {
  const request = c.req.raw;
  const tooLarge = () =>
    new AppError('body_too_large', {
      sentence: `The request body is larger than ${max_bytes} bytes.`,
      details: { max_bytes },
    });
  const declared = headerOf(c, 'content-length');
  if (Number(declared ?? 0) > MAX_DISCARDED_BYTES) throw tooLarge();
  if (declared !== undefined && Number(declared) <= max_bytes) {
    const arrived = c.env.incoming === undefined ? null : takeArrived(c.env.incoming, Number(declared));
    return arrived ?? new Uint8Array(await request.arrayBuffer());
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > MAX_DISCARDED_BYTES) break;
    if (size <= max_bytes) chunks.push(chunk);
    else chunks.length = 0;
  }
  if (size > max_bytes) throw tooLarge();
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
};

const decoder = new TextDecoder('utf-8', { fatal: true });

/** JSON of a body; an empty one is `{}`, so that actions without arguments need none. */
export const parseJson = (bytes: Uint8Array): unknown => {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (cause) {
    throw new AppError('not_json', { sentence: 'The request body is not valid UTF-8.', cause });
  }
  if (text.trim() === '') return {};
  if (canBeDeep(text) && depthOf(text) > MAX_DEPTH)
    throw new AppError('not_json', { sentence: `The request body nests deeper than ${MAX_DEPTH} levels.` });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError('not_json', { hint: cause instanceof Error ? cause.message : 'send a JSON object', cause });
  }
};

/** Whether it opens so much at all. Finding that out takes a tenth of reading it character by character. */
const canBeDeep = (text: string): boolean => count(text, '[') + count(text, '{') > MAX_DEPTH;

const count = (text: string, bracket: string): number => {
  let found = 0;
  for (let at = text.indexOf(bracket); at !== -1 && found <= MAX_DEPTH; at = text.indexOf(bracket, at + 1)) found += 1;
  return found;
};

const depthOf = (text: string): number => {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character === '\\') at += 1;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === '[' || character === '{') deepest = Math.max(deepest, ++depth);
    else if (character === ']' || character === '}') depth -= 1;
  }
  return deepest;
};
