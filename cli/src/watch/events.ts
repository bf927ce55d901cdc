import { backoffDelay, Event, sleep } from '@flotilla/shared';
import { createParser } from 'eventsource-parser';

import { oneLine } from '../output/sanitize.ts';
import type { Session } from '../session.ts';
import { isPassing } from './until.ts';

// The coordinator sends at least an id every 15 s: three missed ones mean a dead connection that nobody closed.
const SILENCE_MS = 45_000;
const RECONNECT = { min_ms: 300, max_ms: 10_000 };

/**
 * The parser drops frames without data, as the standard says; here such a frame advances the cursor past what a filter
 * left out, so the ids are read beside the parser.
 */
const scanFrames = (onId: (id: string) => void): ((chunk: string) => void) => {
  let rest = '';
  return (chunk) => {
    const frames = (rest + chunk).replaceAll('\r\n', '\n').split('\n\n');
    rest = frames.pop() ?? '';
    for (const frame of frames) {
      const id = /^id: ?(\d+)$/m.exec(frame)?.[1];
      if (id !== undefined) onId(id);
    }
  };
};

type Stream = { types: string | undefined; since: number | undefined; onEvent: (event: Event) => Promise<void> };
type Cursor = { id: string | null; retry_ms: number | null };

const parseEvent = (data: string): Event | null => {
  try {
    return Event.parse(JSON.parse(data));
  } catch {
    return null;
  }
};

/** Reads one connection to its end. `opened` is told once the coordinator accepted it. */
const readStream = async (session: Session, stream: Stream, cursor: Cursor, opened: () => void): Promise<void> => {
  const silent = new AbortController();
  const watchdog = setTimeout(() => silent.abort(new TypeError('silence')), SILENCE_MS);
  const received: Event[] = [];
  const parser = createParser({
    onRetry: (ms) => {
      cursor.retry_ms = ms;
    },
    onEvent: ({ id, event, data }) => {
      const parsed = parseEvent(data);
      if (parsed !== null) received.push(parsed);
      else if (event === 'stream.reset')
        session.say('The stream starts anew: what came before is no longer kept, so events may be missing here.');
      else session.say(oneLine(`${event ?? 'message'}: ${data}`));
      // The cursor was outside the retention: what comes now is live again, and the old cursor must not be sent twice.
      if (event === 'stream.reset' && id === undefined) cursor.id = null;
    },
  });
  const scanIds = scanFrames((id) => {
    cursor.id = id;
  });
  try {
    const query = { types: stream.types, last_event_id: cursor.id === null ? stream.since : undefined };
    const headers: Record<string, string> = cursor.id === null ? {} : { 'last-event-id': cursor.id };
    const response = await session.client.events.stream({ query }, { headers, signal: silent.signal });
    opened();
    const decoder = new TextDecoder();
    for await (const bytes of response.body ?? []) {
      watchdog.refresh();
      const chunk = decoder.decode(bytes, { stream: true });
      scanIds(chunk);
      parser.feed(chunk);
      for (const event of received.splice(0)) await stream.onEvent(event);
    }
  } finally {
    clearTimeout(watchdog);
  }
};

/** Follows events for ever. The first connection must work; later ones are made again with the last id. */
export const watchEvents = async (session: Session, stream: Stream): Promise<never> => {
  const { signal } = session;
  const cursor: Cursor = { id: null, retry_ms: null };
  let ever = false;
  for (let failures = 0; ; failures++) {
    try {
      await readStream(session, stream, cursor, () => {
        if (ever) session.say('Live again.');
        ever = true;
        failures = 0;
      });
    } catch (error) {
      signal.throwIfAborted();
      if (!ever || !isPassing(error)) throw error;
    }
    signal.throwIfAborted();
    if (failures === 0) session.say('The stream broke off; reconnecting…');
    await sleep((cursor.retry_ms ?? 100) + backoffDelay(failures, RECONNECT), signal);
    signal.throwIfAborted();
  }
};
