import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const program = (name: string): string => join(import.meta.dirname, 'programs', `${name}.sh`);

/** What the programs write about their own executions: the only witness that Flotilla cannot talk to. */
export type Ledger = {
  path: string;
  /** How often a task was begun, and came to its end. */
  starts(task_id: number): number;
  ends(task_id: number): number;
  allStarts(): number;
};

export const openLedger = (path: string): Ledger => {
  const lines = (): string[] => (existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []);
  const count = (task_id: number, word: string) =>
    lines().filter((line) => line.startsWith(`${task_id} `) && line.endsWith(` ${word}`)).length;
  return {
    path,
    starts: (task_id) => count(task_id, 'start'),
    ends: (task_id) => count(task_id, 'end'),
    allStarts: () => lines().filter((line) => line.endsWith(' start')).length,
  };
};

/** argv for FLOTILLA_COMMAND. A task's title says how much `work` has to do: "LINES DELAY [EXIT]". */
export const commands = {
  work: (ledger: Ledger) => ['sh', program('work'), ledger.path, '{title}'],
  gate: (ledger: Ledger, gate: string) => ['sh', program('gate'), ledger.path, gate],
  stubborn: (ledger: Ledger) => ['sh', program('stubborn'), ledger.path],
  ask: (ledger: Ledger) => [process.execPath, join(import.meta.dirname, 'programs/ask.mjs'), ledger.path],
};

/** What `work` must have left behind, to the byte. */
export const expectedWork = (task_id: number, lines: number) => {
  const numbers = Array.from({ length: lines }, (_, index) => index + 1);
  const resolution = `task ${task_id} said ${lines} lines`;
  const result = { task: task_id, lines };
  const usage = { input_tokens: lines, output_tokens: task_id, cost_usd_micros: lines * 10 };
  const printed = numbers.map((n) => `task ${task_id} line ${n} of ${lines}\n`).join('');
  return {
    resolution,
    result,
    usage,
    stdout: `${printed}${JSON.stringify({ resolution, result, usage })}\n`,
    stderr: numbers.map((n) => `task ${task_id} warns ${n}\n`).join(''),
  };
};
