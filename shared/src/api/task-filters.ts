import { z } from 'zod';

import { taskStatuses } from '../states/task.ts';
import { commaList, Name, Tag, text } from './common.ts';
import { priorities } from './task.ts';

/** Which tasks a list or an export is about. */
export const TaskFilters = z.object({
  status: commaList(z.enum(taskStatuses)).optional(),
  priority: commaList(z.enum(priorities)).optional(),
  assigned_to: Name.optional(),
  claimed_by: Name.optional(),
  tag: Tag.optional(),
  /**
   * Words in title, description or comments, each also as the beginning of a longer one: `deploy fail`, `"exact phrase"`,
   * `this or that`, `-without`.
   */
  search: text(200)
    .refine((value) => value.trim() !== '', 'must not be blank')
    .optional(),
});
export type TaskFilters = z.infer<typeof TaskFilters>;
