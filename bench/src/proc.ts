import { readdirSync, readFileSync } from 'node:fs';

const read = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return ''; // ended meanwhile, or another system
  }
};

/** Of a field like `VmRSS: 123 kB`, in MB. */
const megabytes = (text: string, field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) / 1024;

export const rssOf = (pid: number): number => megabytes(read(pid, 'status'), 'VmRSS');
/** Pages that others map too count in part only. */
export const pssOf = (pid: number): number => megabytes(read(pid, 'smaps_rollup'), 'Pss');

const stat = (pid: number): string[] =>
  read(pid, 'stat')
    .replace(/^.*\) /s, '')
    .split(' ');

/** Linux counts in hundredths of a second on every machine that Node runs on. */
const TICKS_PER_S = 100;
const cpuSeconds = (pid: number): number => {
  const fields = stat(pid);
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_S;
};

const childrenOf = (parent: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => stat(pid)[1] === String(parent));

const treeOf = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(treeOf)];

/** Share of a core that a process, or it and all that it started, used while `work` ran; in percent. */
export const cpuWhile = async (pid: number, work: () => Promise<unknown>): Promise<{ own: number; all: number }> => {
  const used = (pids: number[]) => new Map(pids.map((each) => [each, cpuSeconds(each)]));
  const [began, before] = [performance.now(), used(treeOf(pid))];
  await work();
  const after = used(treeOf(pid));
  // Who ended meanwhile is not counted, who started meanwhile is.
  const spent = (each: number) => (after.get(each) ?? 0) - (before.get(each) ?? 0);
  const percent = (seconds: number) => (seconds / (performance.now() - began)) * 100_000;
  return { own: percent(spent(pid)), all: percent([...after.keys()].reduce((sum, each) => sum + spent(each), 0)) };
};
