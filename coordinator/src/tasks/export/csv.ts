import type { Task } from '@flotilla/shared';

type Column = [head: string, cell: (task: Task) => string | number | null];

const columns: Column[] = [
  ['ref', (task) => task.ref],
  ['title', (task) => task.title],
  ['status', (task) => task.status],
  ['priority', (task) => task.priority],
  ['assigned_to', (task) => task.assigned_to],
  ['claimed_by', (task) => task.claimed_by],
  ['tags', (task) => task.tags.join(' ')],
  ['required_tags', (task) => task.required_tags.join(' ')],
  ['executor', (task) => task.executor],
  ['model', (task) => task.model],
  ['attempts', (task) => task.attempts],
  ['rejections', (task) => task.rejections],
  ['due_date', (task) => task.due_date],
  ['created_by', (task) => task.created_by],
  ['created_at', (task) => task.created_at],
  ['updated_at', (task) => task.updated_at],
  ['started_at', (task) => task.started_at],
  ['completed_at', (task) => task.completed_at],
  ['input_tokens', (task) => task.input_tokens],
  ['output_tokens', (task) => task.output_tokens],
  // Empty is "unpriced", which is not the same as free.
  ['cost_usd_micros', (task) => task.cost_usd_micros],
  ['description', (task) => task.description],
  ['resolution', (task) => task.resolution],
  ['failure_kind', (task) => task.failure?.kind ?? null],
  ['failure_message', (task) => task.failure?.message ?? null],
];

/** What a spreadsheet takes for a formula, also behind white space and in full width. */
const FORMULA = /^\s*[=+\-@＝＋－＠|%]|^[\t\r\n]/u;

/** One cell by RFC 4180. Text that a spreadsheet would run as a formula gets an apostrophe in front; numbers are ours. */
export const csvCell = (value: string | number | null): string => {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const safe = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export const csvHead = (): string => `${columns.map(([head]) => head).join(',')}\r\n`;
export const csvLine = (task: Task): string => `${columns.map(([, cell]) => csvCell(cell(task))).join(',')}\r\n`;
