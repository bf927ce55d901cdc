import { z } from 'zod';

import { Id, IdParam, IdParams, NextCursor, PageQuery, text, Timestamp } from './common.ts';
import { route } from './route.ts';

/** A file that an attempt left with its result. */
export const Attachment = z.object({
  id: Id,
  task_id: Id,
  /** Number of the attempt that made it, and its agent. */
  attempt: z.int(),
  agent: z.string(),
  name: z.string(),
  content_type: z.string(),
  size: z.int(),
  sha256: z.string(),
  created_at: Timestamp,
});
export type Attachment = z.infer<typeof Attachment>;

/** A name to save under: no path, nothing invisible. */
export const FileName = text(200)
  .min(1)
  .refine((name) => !/[/\\\p{Cc}\p{Cf}]/u.test(name), 'must not contain slashes or control characters')
  .refine((name) => name.trim() === name && !/^\.+$/.test(name), 'must not be dots or have blanks at its ends');

const shared = { tag: 'attachments', params: IdParams } as const;

export const attachmentRoutes = {
  upload: route({
    ...shared,
    method: 'POST',
    path: '/tasks/:id/attachments',
    summary: 'Leave a file with the result of a running attempt',
    description:
      "The body is the file, taken in as it comes. Fenced like a success: `epoch` of the live attempt (an attempt's own token needs none), or of one whose lease ran out while nobody claimed the task since. The same name again replaces the file of this attempt. 413 beyond the coordinator's limits per file and per attempt.",
    permission: 'tasks:attach',
    audience: 'agent',
    query: z.object({
      epoch: IdParam.optional(),
      name: FileName,
      content_type: text(200)
        .regex(/^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(; ?[\w-]+=[\w."-]+)*$/, 'use a media type like text/plain')
        .default('application/octet-stream'),
      /** Checked against what arrived: a file that was cut is not kept. */
      sha256: z
        .string()
        .regex(/^[0-9a-f]{64}$/, 'use 64 hex digits')
        .optional(),
    }),
    body: 'stream',
    status: 201,
    output: Attachment,
    errors: ['not_found', 'task_gone', 'lease_lost', 'body_too_large', 'disk_full'],
  }),
  list: route({
    ...shared,
    method: 'GET',
    path: '/tasks/:id/attachments',
    summary: 'List the files of a task, newest first',
    permission: 'tasks:read',
    audience: 'person',
    query: PageQuery,
    status: 200,
    output: z.object({ attachments: z.array(Attachment), next_cursor: NextCursor }),
    errors: ['not_found'],
  }),
  download: route({
    ...shared,
    method: 'GET',
    path: '/tasks/:id/attachments/:attachment_id',
    params: IdParams.extend({ attachment_id: IdParam }),
    summary: 'Save a file of a task',
    permission: 'tasks:read',
    audience: 'person',
    status: 200,
    output: 'file',
    errors: ['not_found'],
  }),
};
