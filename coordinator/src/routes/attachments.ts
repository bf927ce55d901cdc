import type { api } from '@flotilla/shared';

import type { Handlers } from '../http/context.ts';
import { downloadAttachment } from '../tasks/attachments/download.ts';
import { listAttachments } from '../tasks/attachments/queries.ts';
import { uploadAttachment } from '../tasks/attachments/upload.ts';

export const attachmentHandlers: Handlers<typeof api.attachments> = {
  upload: ({ deps, principal, input }) => uploadAttachment(deps, principal, input),
  list: ({ deps, principal, input }) => listAttachments(deps, principal, input),
  download: ({ deps, principal, input }) => downloadAttachment(deps, principal, input),
};
