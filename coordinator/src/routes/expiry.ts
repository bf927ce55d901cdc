import type { api } from '@flotilla/shared';

import type { Handlers } from '../http/context.ts';
import { releaseMassSilence } from '../tasks/expire/release.ts';
import { readExpiry } from '../tasks/expire/suspension.ts';

export const expiryHandlers: Handlers<typeof api.expiry> = {
  get: ({ deps }) => readExpiry(deps),
  release: ({ deps, principal, input }) => releaseMassSilence(deps, principal, input),
};
