import type { api, Comment, RouteInput } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { announce } from '../announce.ts';
import { lockComment } from './lock-comment.ts';
import { knownMentions } from './mentions.ts';
import { readComment } from './queries.ts';
import { recordChange } from './record-change.ts';

/** Changes the text of a comment. Assigns nothing: what was said when it counted stays decided. */
export const editComment = (
  deps: Deps,
  principal: Principal,
  { params, body }: RouteInput<typeof api.comments.edit>,
): Promise<Comment> =>
  deps.db.transaction(async (db) => {
    const { task, comment_id } = await lockComment({ ...deps, db }, principal, params);
    const mentions = await knownMentions(db.sql, task.workspace_id, body.text);
    await db.sql`
      update task_comments set text = ${body.text}, mentions = ${mentions}::text[], edited_at = flotilla_now() where id = ${comment_id}`;
    await recordChange(db, principal, { task, comment_id, what: 'edit' });
    announce({ ...deps, db }, null);
    return readComment(db.sql, comment_id);
  });
