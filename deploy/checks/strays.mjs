import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const read = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // ended meanwhile, or another user's
  }
};

const folderOf = (pid) => {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
};

/**
 * Processes that a run started and that outlived it. They inherit FLOTILLA_GATE=<scratch>; a database server overwrites
 * its environment with its title but works inside the run's scratch folder. Linux only: elsewhere none is found.
 */
const findStrays = (scratch) => {
  const mine = (pid) =>
    read(`/proc/${pid}/environ`).split('\0').includes(`FLOTILLA_GATE=${scratch}`) ||
    `${folderOf(pid)}/`.startsWith(`${scratch}/`);
  const pids = read('/proc/self/stat') === '' ? [] : readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => Number(pid) !== process.pid && mine(pid)).map(Number);
};

/** Gives late leavers two seconds, then ends what is left and says what it was. */
export const killStrays = (scratch) => {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; tries < 20 && findStrays(scratch).length > 0; tries++) Atomics.wait(pause, 0, 0, 100);
  return findStrays(scratch).map((pid) => {
    const title = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended between the look and the kill.
    }
    return `${pid} ${title}`;
  });
};
