import type { api } from '@flotilla/shared';

import type { Handlers } from '../http/context.ts';
import { approveTask } from '../tasks/reviews/approve.ts';
import { listReviews } from '../tasks/reviews/queries.ts';
import { rejectTask } from '../tasks/reviews/reject.ts';

export const reviewHandlers: Handlers<typeof api.reviews> = {
  approve: ({ deps, principal, input, if_match }) => approveTask(deps, principal, { ...input, if_match }),
  reject: ({ deps, principal, input, if_match }) => rejectTask(deps, principal, { ...input, if_match }),
  list: ({ deps, principal, input }) => listReviews(deps, principal, input),
};
