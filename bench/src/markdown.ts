import { cpus, totalmem } from 'node:os';

import { ratio, type Result, type Score } from './report.ts';

const digits = (value: number): string => {
  if (!Number.isFinite(value)) return '–';
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : Number(value.toPrecision(3)).toString();
};

const figure = ({ value, p50_ms, p99_ms }: Score, unit: string): string => {
  const times = p50_ms === null || p99_ms === null ? '' : ` (p50 ${digits(p50_ms)}, p99 ${digits(p99_ms)} ms)`;
  return unit === 'ms' && p99_ms !== null
    ? `p50 ${digits(value)} ms, p99 ${digits(p99_ms)} ms`
    : `${digits(value)} ${unit}${times}`;
};

const verdict = (result: Result): string =>
  (result.goals ?? []).map((goal) => `${goal.text}: ${goal.met(result) ? 'met' : '**not met**'}`).join('; ') || '–';

/** What the terminal shows as each scenario ends. */
export const asText = (result: Result): string => {
  const { metric, unit, sides } = result;
  const lines = sides.map((side, index) => {
    const compared = index === 0 ? '' : `ours is ${digits(ratio(result, side.name))} of it`;
    return `  ${side.name.padEnd(34)} ${figure(side, unit).padEnd(44)} ${compared}`.trimEnd();
  });
  return [`\n${metric}`, ...lines, `  goal: ${verdict(result)}`].join('\n');
};

const rowsOf = (result: Result): string[] => {
  const [ours, ...others] = result.sides;
  if (ours === undefined) return [];
  const row = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const first = [result.metric, figure(ours, result.unit)];
  const last = [verdict(result), result.means];
  if (others.length === 0) return [row([...first, '–', '–', ...last])];
  return others.map((other, index) => {
    const compared = [`${other.name}: ${figure(other, result.unit)}`, digits(ratio(result, other.name))];
    return row(index === 0 ? [...first, ...compared, ...last] : ['', '', ...compared, '', '']);
  });
};

export type Run = { command: string; rounds: number; postgres: string; notes: string[]; results: Result[] };

/** docs/benchmarks.md: the machine, the command, every row. */
export const asMarkdown = ({ command, rounds, postgres, notes, results }: Run): string => {
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `# Benchmarks

Written by \`${command}\` on ${new Date().toISOString().slice(0, 10)}. The machine: ${cpus().length} cores (${cpu?.model.trim() ?? 'unknown'}), ${memory} GB of
memory, ${process.platform} ${process.arch}, Node ${process.versions.node}, Postgres ${postgres} with fsync and synchronous_commit on. It is shared by
Postgres, the coordinator and the load generator (a process of its own).

Each figure is the median of ${rounds} runs (of three, of memory, idle cpu and starts). Ours and what it is compared with ran in alternation in the same run, so read the
ratios; absolute figures differ from machine to machine, and from hour to hour by a fifth. [bench/README.md](../bench/README.md)
says what is measured how, [performance.md](performance.md) what stands in the way of what is not met.

| what | ours | beside it | ours / it | goal | what it means |
|---|---|---|---|---|---|
${results.flatMap(rowsOf).join('\n')}
${notes.map((note) => `\n${note}\n`).join('')}`;
};
