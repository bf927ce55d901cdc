import type { Event } from '@flotilla/shared';

/** What an event stream sends: several frames at a time, as they are on the wire. */
export type Chunk = Uint8Array;
type Frame = { id: number; event?: string; data?: string };

const encoder = new TextEncoder();

const asText = ({ id, event, data }: Frame): string =>
  `id: ${id}\n${event === undefined ? '' : `event: ${event}\n`}${data === undefined ? '' : `data: ${data}\n`}\n`;

/** A frame that is no event: where the stream stands, or what became of it. */
export const controlFrame = (frame: Frame): Chunk => encoder.encode(asText(frame));

export const eventFrames = (events: Event[]): Chunk =>
  encoder.encode(
    events
      .map(({ seq, type, entity_id, version, workspace_id, summary, at }) =>
        asText({
          id: seq,
          event: type,
          data: JSON.stringify({ seq, type, entity_id, version, workspace_id, summary, at }),
        }),
      )
      .join(''),
  );
