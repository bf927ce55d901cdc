import type { api } from '@flotilla/shared';

import { streamEvents } from '../events/stream.ts';
import type { Handlers } from '../http/context.ts';

export const eventHandlers: Handlers<typeof api.events> = {
  stream: async ({ deps, principal, input, caller, last_event_id }) =>
    streamEvents(
      deps,
      principal,
      { types: input.query.types, after: last_event_id ?? input.query.last_event_id ?? null },
      caller.until(),
    ),
};
