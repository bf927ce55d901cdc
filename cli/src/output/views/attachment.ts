import type { Attachment } from '@flotilla/shared';

import { showWhen } from '../format.ts';
import type { View } from '../view.ts';

export const attachmentView: View<Attachment> = {
  plural: 'attachments',
  name: (file) => String(file.id),
  columns: [
    { head: 'FILE', cell: (file) => `#${file.id}` },
    { head: 'NAME', cell: (file) => file.name },
    { head: 'BYTES', cell: (file) => String(file.size) },
    { head: 'TYPE', cell: (file) => file.content_type },
    { head: 'ATTEMPT', cell: (file) => String(file.attempt) },
    { head: 'AGENT', cell: (file) => file.agent },
    { head: 'AGE', cell: (file, now) => showWhen(file.created_at, now) },
    { head: 'SHA256', cell: (file) => file.sha256, wide: true },
  ],
};
