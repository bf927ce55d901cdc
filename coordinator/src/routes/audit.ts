import type { api } from '@flotilla/shared';

import { listAudit } from '../audit/queries.ts';
import type { Handlers } from '../http/context.ts';

export const auditHandlers: Handlers<typeof api.audit> = {
  list: ({ deps, principal, input }) => listAudit(deps, principal, input),
};
