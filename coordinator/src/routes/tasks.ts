import type { api } from '@flotilla/shared';

import type { Handlers } from '../http/context.ts';
import { appendLog } from '../logs/append.ts';
import { readLog, selectLog } from '../logs/read.ts';
import { listActivity } from '../tasks/activity/list.ts';
import { askPerson } from '../tasks/questions/ask.ts';
import { assignTask, unassignTask } from '../tasks/assign.ts';
import { bulkTasks } from '../tasks/bulk/bulk.ts';
import { cancelTask } from '../tasks/cancel.ts';
import { claimNext, claimTasks } from '../tasks/claim/claim.ts';
import { pollQueue } from '../tasks/claim/queue.ts';
import { completeTask } from '../tasks/complete.ts';
import { createTask } from '../tasks/create.ts';
import { deleteTask } from '../tasks/delete.ts';
import { duplicateTask } from '../tasks/duplicate.ts';
import { exportTasks } from '../tasks/export/export.ts';
import { failTask } from '../tasks/fail.ts';
import { patchTask } from '../tasks/patch.ts';
import { reportProgress } from '../tasks/progress.ts';
import { getTask, listAttempts, listTasks } from '../tasks/queries.ts';
import { releaseTask } from '../tasks/release.ts';
import { retryTask } from '../tasks/retry.ts';
import { startTask } from '../tasks/start.ts';
import { unclaimTask } from '../tasks/unclaim.ts';
import { reportUsage } from '../tasks/usage.ts';
import { watchRights } from '../tokens/authenticate.ts';

export const taskHandlers: Handlers<typeof api.tasks> = {
  create: ({ deps, principal, input }) => createTask(deps, principal, input),
  bulk: ({ deps, principal, input }) => bulkTasks(deps, principal, input),
  duplicate: ({ deps, principal, input }) => duplicateTask(deps, principal, input),
  list: ({ deps, principal, input }) => listTasks(deps, principal, input.query),
  next: ({ deps, principal, input, caller }) => claimNext(deps, principal, input, caller),
  claim: ({ deps, principal, input, caller }) => claimTasks(deps, principal, input, caller),
  exportAll: ({ deps, principal, input }) => exportTasks(deps, principal, input.query),
  queue: ({ deps, principal, input }) => pollQueue(deps, principal, input),
  get: ({ deps, principal, input }) => getTask(deps, principal, input.params.id),
  patch: ({ deps, principal, input, if_match }) => patchTask(deps, principal, { ...input, if_match }),
  delete: ({ deps, principal, input }) => deleteTask(deps, principal, input),
  assign: ({ deps, principal, input }) => assignTask(deps, principal, input),
  unassign: ({ deps, principal, input }) => unassignTask(deps, principal, input),
  cancel: ({ deps, principal, input }) => cancelTask(deps, principal, input),
  retry: ({ deps, principal, input }) => retryTask(deps, principal, input),
  release: ({ deps, principal, input }) => releaseTask(deps, principal, input),
  attempts: ({ deps, principal, input }) => listAttempts(deps, principal, input),
  activity: ({ deps, principal, input }) => listActivity(deps, principal, input),
  readLog: async ({ deps, principal, input, caller }) => {
    // Looked up before the stream begins: an unknown task must still be a 404.
    const selected = await selectLog(deps, principal, input);
    return readLog(
      deps,
      selected ?? (() => selectLog(deps, principal, input)),
      input.query.follow,
      watchRights(deps, principal),
      caller.until(),
    );
  },
  start: ({ deps, principal, input }) => startTask(deps, principal, input),
  unclaim: ({ deps, principal, input }) => unclaimTask(deps, principal, input),
  log: ({ deps, principal, input }) => appendLog(deps, principal, input),
  progress: ({ deps, principal, input }) => reportProgress(deps, principal, input),
  usage: ({ deps, principal, input }) => reportUsage(deps, principal, input),
  complete: ({ deps, principal, input }) => completeTask(deps, principal, input),
  ask: ({ deps, principal, input }) => askPerson(deps, principal, input),
  fail: ({ deps, principal, input }) => failTask(deps, principal, input),
};
