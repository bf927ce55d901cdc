import type { CreateTask, Task, TaskStatus } from '@flotilla/shared';

import { freshName, type TestAgent, type TestWorkspace } from './fleet.ts';

/** Brings a new task into a status through the door; `agent` does the work where one is needed. */
export const taskIn = async (
  workspace: TestWorkspace,
  agent: TestAgent,
  status: TaskStatus,
  fields: Partial<CreateTask> = {},
): Promise<Task> => {
  const { admin } = workspace;
  // A tag of its own: the agent takes this task and no other.
  const tag = freshName('only');
  await admin.agents.patch({ params: { id: agent.id }, body: { tags: [tag], slots_ceiling: 32 } });
  await agent.beat([], { slots: 32 });
  const review = status === 'review' ? 'human' : 'none';
  const first = status === 'backlog' ? 'backlog' : 'inbox';
  const assigned = status === 'assigned' ? { assigned_to: agent.name } : {};
  const task = await workspace.task({ status: first, review, required_tags: [tag], ...assigned, ...fields });
  const params = { id: task.id };
  if (status === 'in_progress' || status === 'review' || status === 'done' || status === 'failed') {
    const [claimed] = await agent.claim(1);
    if (claimed?.id !== task.id) throw new Error('claimed another task');
    if (status === 'failed') await agent.fail(claimed, { retryable: false });
    else if (status !== 'in_progress') await agent.complete(claimed);
  }
  if (status === 'cancelled') await admin.tasks.cancel({ params, body: {} });
  const made = await workspace.read(task);
  if (made.status !== status) throw new Error(`wanted ${status}, made ${made.status}`);
  return made;
};
