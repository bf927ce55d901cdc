import { recordAudit } from '../../audit/record.ts';
import type { Database } from '../../db/database.ts';
import { recordEvents } from '../../events/record.ts';
import type { Principal } from '../../principal.ts';
import { indexTask } from '../search/index-task.ts';
import type { VisibleTask } from '../queries.ts';

const types = { edit: 'task.comment_edited', delete: 'task.comment_deleted' } as const;

/** Event and audit of a change to a comment, and what can be found of it. */
export const recordChange = async (
  db: Database,
  principal: Principal,
  { task, comment_id, what }: { task: VisibleTask; comment_id: number; what: keyof typeof types },
): Promise<void> => {
  await indexTask(db, task.id);
  await recordEvents(db, [
    {
      type: types[what],
      entity_id: task.id,
      workspace_id: task.workspace_id,
      version: task.version,
      agent_id: task.agent_id,
      summary: { comment_id },
    },
  ]);
  await recordAudit(db, principal, {
    action: `comment.${what}`,
    entity: 'comment',
    entity_id: comment_id,
    details: { task_id: task.id },
  });
};
