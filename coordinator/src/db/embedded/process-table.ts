import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { errorCode } from './error.ts';

const LINUX = process.platform === 'linux';

/** Tells a process from a later one with the same pid; the two last are null where the system does not say. */
export type ProcessIdentity = { pid: number; start_time: string | null; boot_id: string | null };

/** What identifies this process for as long as the machine is up. */
export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, start_time: readStat(process.pid)?.start_time ?? null, boot_id: bootId() };
}

/** Whether the very process of `identity` still runs: not a zombie, and not a stranger with its pid. */
export function isRunning(identity: ProcessIdentity): boolean {
  if (!pidExists(identity.pid)) return false;
  if (!LINUX) return true;
  if (identity.boot_id !== null && identity.boot_id !== bootId()) return false;
  const stat = readStat(identity.pid);
  if (stat === null || stat.zombie) return false;
  return identity.start_time === null || identity.start_time === stat.start_time;
}

/** Every live Postgres process of a cluster, postmaster and backends, zombies left out. */
export function findClusterProcesses(cluster_dir: string, cluster_name: string): number[] {
  if (!LINUX) return findWithPs(cluster_dir, cluster_name);
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return pids.filter((pid) => pid !== process.pid && belongsTo(pid, cluster_dir, cluster_name));
}

function belongsTo(pid: number, cluster_dir: string, cluster_name: string): boolean {
  const argv = (readText(`/proc/${pid}/cmdline`) ?? '').split('\0');
  if (argv[0]?.startsWith(`postgres: ${cluster_name}: `)) return true;
  if (argv[0]?.endsWith('postgres') && argv[argv.indexOf('-D') + 1] === cluster_dir) return true;
  // A postmaster that a person started by hand may have any command line, but it always stands in its cluster.
  if (readText(`/proc/${pid}/comm`)?.trim() !== 'postgres') return false;
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === cluster_dir;
  } catch {
    return false;
  }
}

function findWithPs(cluster_dir: string, cluster_name: string): number[] {
  const table = execFileSync('ps', ['-axww', '-o', 'pid=,stat=,command='], { encoding: 'utf8' });
  const rows = table.split('\n').map((line) => /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line));
  const ours = rows.filter((row) => {
    if (row === null || row[2]?.startsWith('Z')) return false;
    const command = row[3] ?? '';
    return command.startsWith(`postgres: ${cluster_name}: `) || command.includes(`postgres -D ${cluster_dir} `);
  });
  return ours.map((row) => Number(row?.[1]));
}

function pidExists(pid: number): boolean {
  // 0 and negative numbers would address process groups.
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}

function bootId(): string | null {
  return readText('/proc/sys/kernel/random/boot_id')?.trim() ?? null;
}

function readStat(pid: number): { zombie: boolean; start_time: string } | null {
  const text = readText(`/proc/${pid}/stat`);
  if (text === null) return null;
  // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { zombie: fields[0] === 'Z' || fields[0] === 'X', start_time: fields[19] ?? '' };
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
