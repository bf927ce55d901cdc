import type { Attempt, Task } from '@flotilla/shared';

import { showAge, showCost, showDuration, showList, showWhen } from '../format.ts';
import type { View } from '../view.ts';

const showStatus = (task: Task): string =>
  task.cancel_requested_at !== null && task.status === 'in_progress' ? 'cancelling' : task.status;

const orDash = (value: string | null): string => value ?? '-';

export const taskView: View<Task> = {
  plural: 'tasks',
  name: (task) => task.ref,
  columns: [
    { head: 'TASK', cell: (task) => task.ref },
    { head: 'STATUS', cell: showStatus },
    { head: 'PRIORITY', cell: (task) => task.priority },
    { head: 'AGENT', cell: (task) => orDash(task.claimed_by ?? task.assigned_to) },
    { head: 'AGE', cell: (task, now) => showAge(task.created_at, now) },
    { head: 'TITLE', cell: (task) => task.title },
    { head: 'TAGS', cell: (task) => showList(task.tags), wide: true },
    { head: 'REQUIRES', cell: (task) => showList(task.required_tags), wide: true },
    { head: 'EXECUTOR', cell: (task) => orDash(task.executor), wide: true },
    { head: 'ATTEMPTS', cell: (task) => String(task.attempts), wide: true },
    { head: 'COST', cell: (task) => showCost(task.cost_usd_micros), wide: true },
    { head: 'WAITING FOR', cell: (task) => orDash(task.waiting_for?.code ?? null), wide: true },
  ],
  details: [
    { head: 'STATE', cell: (task) => task.status_sentence },
    { head: 'WHY', cell: (task) => orDash(task.waiting_for?.message ?? null) },
    { head: 'ASSIGNED TO', cell: (task) => orDash(task.assigned_to) },
    { head: 'CLAIMED BY', cell: (task) => orDash(task.claimed_by) },
    { head: 'LEASE ENDS', cell: (task, now) => showWhen(task.lease_expires_at, now) },
    { head: 'NOT BEFORE', cell: (task, now) => showWhen(task.not_before, now) },
    { head: 'START BY', cell: (task, now) => showWhen(task.start_by, now) },
    {
      head: 'KEY',
      cell: ({ concurrency_key, concurrency_limit }) =>
        concurrency_key === null ? '-' : `${concurrency_key} (${concurrency_limit} at a time)`,
    },
    { head: 'DUE', cell: (task, now) => showWhen(task.due_date, now) },
    { head: 'TIMEOUT', cell: (task) => showDuration(task.timeout_s) },
    { head: 'MODEL', cell: (task) => orDash(task.model) },
    {
      head: 'TOKENS',
      cell: (task) =>
        task.input_tokens + task.output_tokens === 0 ? '-' : `${task.input_tokens} in, ${task.output_tokens} out`,
    },
    { head: 'CREATED', cell: (task) => `${task.created_at} by ${task.created_by}` },
    { head: 'STARTED', cell: (task) => orDash(task.started_at) },
    { head: 'ENDED', cell: (task) => orDash(task.completed_at) },
    {
      head: 'FAILURE',
      cell: (task) => (task.failure === null ? '-' : `${task.failure.kind}: ${task.failure.message}`),
    },
  ],
  texts: [
    { head: 'DESCRIPTION', text: (task) => task.description },
    { head: 'FEEDBACK', text: (task) => task.feedback },
    { head: 'QUESTION', text: (task) => task.question },
    { head: 'RESULT', text: (task) => task.resolution },
  ],
};

type Progress = Attempt['progress'];

/** What an attempt last said about how far it is, and when: it may be long ago. */
const showProgress = (progress: Progress, now: number): string => {
  if (progress === null) return '-';
  const { percent, message, at } = progress;
  // Rounded down: 100 % is what is done.
  const said = [percent === null ? null : `${Math.floor(percent)} %`, message].filter((part) => part !== null);
  return `${said.join(', ') || 'at work'} (${showWhen(at, now)})`;
};

/** A task as `get` shows it: with what its running attempt says. */
export const taskViewWith = (progress: Progress): View<Task> => ({
  ...taskView,
  details: [{ head: 'PROGRESS', cell: (_task, now) => showProgress(progress, now) }, ...(taskView.details ?? [])],
});

export const attemptView: View<Attempt> = {
  plural: 'attempts',
  name: (attempt) => String(attempt.number),
  columns: [
    { head: 'ATTEMPT', cell: (attempt) => String(attempt.number) },
    { head: 'STATE', cell: (attempt) => attempt.state },
    { head: 'AGENT', cell: (attempt) => attempt.agent },
    { head: 'EXECUTOR', cell: (attempt) => orDash(attempt.executor) },
    { head: 'CLAIMED', cell: (attempt, now) => showWhen(attempt.claimed_at, now) },
    {
      head: 'TOOK',
      cell: ({ started_at, ended_at }, now) =>
        started_at === null ? '-' : showAge(started_at, ended_at === null ? now : Date.parse(ended_at)),
    },
    { head: 'PROGRESS', cell: ({ progress }, now) => showProgress(progress, now) },
    { head: 'EXIT', cell: (attempt) => (attempt.exit_code === null ? '-' : String(attempt.exit_code)) },
    { head: 'COST', cell: (attempt) => showCost(attempt.cost_usd_micros) },
    {
      head: 'FAILURE',
      cell: (attempt) => (attempt.failure === null ? '-' : `${attempt.failure.kind}: ${attempt.failure.message}`),
    },
    { head: 'EPOCH', cell: (attempt) => String(attempt.epoch), wide: true },
    { head: 'PHASE', cell: (attempt) => orDash(attempt.phase), wide: true },
    { head: 'SESSION', cell: (attempt) => orDash(attempt.session_id), wide: true },
    {
      head: 'LOG',
      cell: ({ log }) => showList(Object.entries(log).map(([stream, { size }]) => `${stream}:${size}`)),
      wide: true,
    },
  ],
};
