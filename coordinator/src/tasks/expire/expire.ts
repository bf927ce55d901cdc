import { type OnHostLoss, taskLimits } from '@flotilla/shared';

import type { Deps } from '../../deps.ts';
import { announce, announceEnded } from '../announce.ts';
import { endAttempt, returnTask, taskColumns, type TaskRow } from '../lifecycle.ts';
import { tellSilence } from './tell-silence.ts';

/** Rows per pass: short transactions, so that a mass expiry never blocks claims. */
const BATCH = 100;

type Expired = {
  task_id: number;
  attempt_id: number;
  epoch: number;
  held_until: string | null;
  on_host_loss: OnHostLoss;
};

/**
 * Takes back what ran out: leases past their end plus grace. Locks lease rows (skipping those a renewal or a report
 * holds), so that a renewal that came first wins. Answers how many it handled; call again while it is a full batch.
 *
 * Scans `leases` (no index on expires_at: renewals must stay HOT, and the table holds only what runs).
 */
export const expireLeases = (deps: Deps): Promise<number> =>
  deps.db.transaction(async (db) => {
    const expired = await db.sql<Expired[]>`
      select l.task_id, l.attempt_id, l.epoch, l.held_until, t.on_host_loss
      from leases l join tasks t on t.id = l.task_id
      where l.expires_at < (select flotilla_now()) - ${deps.config.FLOTILLA_REQUEUE_GRACE_MS} * interval '1 ms'
        and (l.held_until is null or l.held_until < flotilla_now() or t.cancel_requested_at is not null)
      order by l.expires_at limit ${BATCH} for update of l skip locked`;
    for (const lease of expired) await expireOne({ ...deps, db }, lease);
    return expired.length;
  });

/** For people, on the attempt and the task: what happened and what was done. */
const tellLoss = async (db: Deps['db'], lease: Expired, task: TaskRow): Promise<string> => {
  const happened = await tellSilence(db, lease);
  if (task.cancel_requested_at !== null) return `${happened} The task was to be cancelled, and is.`;
  if (lease.on_host_loss === 'hold')
    return `${happened} The task waited for it as long as it may (on_host_loss: hold).`;
  const losses = task.stale_requeues + 1;
  const again = losses < taskLimits.stale_requeues && task.attempts < taskLimits.attempts;
  return `${happened} Loss ${losses} of at most ${taskLimits.stale_requeues}${again ? ': queued again' : ''}.`;
};

const expireOne = async (deps: Deps, lease: Expired): Promise<void> => {
  const { db, config } = deps;
  const [task] = await db.sql<TaskRow[]>`
    select ${taskColumns(db.sql)} from tasks where id = ${lease.task_id} for no key update`;
  if (task === undefined) return;
  const cancelling = task.cancel_requested_at !== null;
  if (lease.on_host_loss === 'hold' && lease.held_until === null && !cancelling) {
    await db.sql`update leases set held_until = flotilla_now() + ${config.FLOTILLA_HOLD_MS} * interval '1 ms' where task_id = ${lease.task_id}`;
    deps.metrics.expiries.inc({ outcome: 'held' });
    return;
  }
  const failure = { kind: 'host_lost', message: await tellLoss(db, lease, task) };
  await endAttempt(
    db,
    { id: lease.attempt_id, task_id: lease.task_id, epoch: lease.epoch },
    { state: 'lost', failure },
  );
  const status = await returnTask(db, task, {
    counter: 'stale_requeues',
    failure,
    defer_ms: 0,
    final: lease.on_host_loss === 'hold',
    event: 'task.stale_requeued',
  });
  deps.metrics.expiries.inc({ outcome: status });
  const { attempt_id } = lease;
  db.afterCommit(() => deps.hub.raise('log', attempt_id));
  announceEnded(deps, [task]);
  announce(deps, status === 'inbox' || status === 'assigned' ? task : null);
};
