import type { api } from '@flotilla/shared';

import type { Handlers } from '../http/context.ts';
import { createComment } from '../tasks/comments/create.ts';
import { deleteComment } from '../tasks/comments/delete.ts';
import { editComment } from '../tasks/comments/edit.ts';
import { listComments } from '../tasks/comments/queries.ts';

export const commentHandlers: Handlers<typeof api.comments> = {
  list: ({ deps, principal, input }) => listComments(deps, principal, input),
  create: ({ deps, principal, input }) => createComment(deps, principal, input),
  edit: ({ deps, principal, input }) => editComment(deps, principal, input),
  delete: ({ deps, principal, input }) => deleteComment(deps, principal, input),
};
