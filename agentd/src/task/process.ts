import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { platform } from 'node:os';

/** A process that cannot be mistaken for a later one with the same number. */
export type ProcessId = { pid: number; start: string };

type Stat = { pid: number; state: string; group: number; session: number; start: string };

const isLinux = platform() === 'linux';

const parseStat = (pid: number, raw: string): Stat => {
  // The name may contain spaces and parentheses: fields are counted from the last ")". start is field 22 of proc(5).
  const fields = raw.slice(raw.lastIndexOf(')') + 2).split(' ');
  return { pid, state: fields[0] ?? '', group: Number(fields[2]), session: Number(fields[3]), start: fields[19] ?? '' };
};

const readStat = async (pid: number): Promise<Stat | null> => {
  try {
    return parseStat(pid, await readFile(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return null; // ended meanwhile
  }
};

const psLines = (args: readonly string[]): Promise<string[]> =>
  new Promise((resolve) => {
    execFile('ps', [...args], (_error, stdout) => resolve(stdout.split('\n').filter((line) => line.trim() !== '')));
  });

/** When the process began, as a token to compare; null when it is gone or a zombie. */
export const processStart = async (pid: number): Promise<string | null> => {
  if (!isLinux) {
    const [line] = await psLines(['-o', 'stat=,lstart=', '-p', String(pid)]);
    const [, state, start] = /^\s*(\S+)\s+(.*?)\s*$/.exec(line ?? '') ?? [];
    return start === undefined || state?.startsWith('Z') === true ? null : start;
  }
  const stat = await readStat(pid);
  return stat === null || stat.state === 'Z' || stat.state === 'X' ? null : stat.start;
};

/** True while exactly this process lives. */
export const isRunning = async ({ pid, start }: ProcessId): Promise<boolean> => (await processStart(pid)) === start;

/** One of an executor's processes; `apart` when it is in a session of its own, as the tools of an agent are. */
export type TreeProcess = ProcessId & { apart: boolean };

/**
 * The processes of one attempt. `tree` is the executor and all it started; `keepers` are the shim's own processes, which
 * must outlive the tree to write down how it ended and what it said last.
 */
export type AttemptProcesses = { tree: TreeProcess[]; keepers: ProcessId[] };

const environOf = async (pid: number): Promise<string> => {
  try {
    return `\0${await readFile(`/proc/${pid}/environ`, 'latin1')}`;
  } catch {
    return ''; // another user's process, or ended: not ours
  }
};

/**
 * Finds an attempt's processes by their environment mark, wherever setsid and double forks took them, and by the shim's
 * session for those that dropped the mark. What drops both escapes; that is why `isolation` says "none".
 * Costs one pass over /proc: a small read per process, two for those younger than the shim.
 */
export const findProcesses = async (mark: string, shim: ProcessId | null): Promise<AttemptProcesses> => {
  const found: AttemptProcesses = { tree: [], keepers: [] };
  if (!isLinux) return findByGroup(shim);
  // A session number means our session only while nobody else got the shim's pid.
  const current = shim === null ? null : await readStat(shim.pid);
  const session = shim !== null && (current === null || current.start === shim.start) ? shim.pid : null;
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const stat = await readStat(pid);
    if (stat === null || stat.state === 'Z' || stat.state === 'X') continue;
    // What is older than the shim is none of its children; that spares most of the reads.
    if (shim !== null && Number(stat.start) < Number(shim.start)) continue;
    const environ = await environOf(pid);
    const id = { pid, start: stat.start };
    const inside = session !== null && (stat.session === session || stat.group === session);
    if (environ.includes(`\0FLOTILLA_ATTEMPT=${mark}\0`)) found.tree.push({ ...id, apart: !inside });
    else if (environ.includes(`\0FLOTILLA_SHIM=${mark}\0`)) found.keepers.push(id);
    else if (inside) found.tree.push({ ...id, apart: false });
  }
  return found;
};

/** Without /proc there is only the process group, and only while the shim proves that it is ours. */
const findByGroup = async (shim: ProcessId | null): Promise<AttemptProcesses> => {
  if (shim === null || !(await isRunning(shim))) return { tree: [], keepers: [] };
  const lines = await psLines(['-A', '-o', 'pid=,pgid=,lstart=']);
  const members = lines.flatMap((line) => {
    const [, pid, group, start] = /^\s*(\d+)\s+(\d+)\s+(.*?)\s*$/.exec(line) ?? [];
    return Number(group) === shim.pid && start !== undefined ? [{ pid: Number(pid), start }] : [];
  });
  return {
    tree: members.filter(({ pid }) => pid !== shim.pid).map((id) => ({ ...id, apart: false })),
    keepers: members.filter(({ pid }) => pid === shim.pid),
  };
};

/** Signals processes that are still the ones that were found; those that ended since are skipped. */
export const signalAll = async (processes: readonly ProcessId[], signal: NodeJS.Signals): Promise<void> => {
  for (const id of processes) {
    if (!(await isRunning(id))) continue;
    try {
      process.kill(id.pid, signal);
    } catch {
      // ESRCH: it ended by itself. EPERM: it changed its user; the next pass still sees it and says so.
    }
  }
};

/** KILL to the shim's whole group at once: the one thing a fork bomb cannot outrun. */
export const killGroup = async (shim: ProcessId): Promise<void> => {
  if (!(await isRunning(shim))) return;
  try {
    process.kill(-shim.pid, 'SIGKILL');
  } catch {
    // ESRCH: the group ended between the check and the signal.
  }
};
