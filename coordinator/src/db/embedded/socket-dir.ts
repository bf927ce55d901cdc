import { createHash } from 'node:crypto';
import { chmodSync, lchownSync, lstatSync, mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Account } from './accounts.ts';
import { EmbeddedPostgresError, errorCode, fileSystemError } from './error.ts';

/** The port is only a part of the socket's file name. */
export const PORT = 5432;

/** sun_path holds 108 bytes on Linux and 104 on macOS, one of them for the end. */
const LONGEST_SOCKET_PATH = process.platform === 'linux' ? 107 : 103;

/** Clients take some characters of a host for separators (`,` `:`) or escapes (`%`). */
const ORDINARY_PATH = /^[\p{L}\p{N} ./_+=@~-]+$/u;

/** A short name for a data directory, the same at each start. */
export function hashOf(data_dir: string): string {
  return createHash('sha256').update(data_dir).digest('hex').slice(0, 12);
}

function socketPath(socket_dir: string): string {
  return join(socket_dir, `.s.PGSQL.${PORT}`);
}

/** Makes the private directory of the socket: in the data directory, or in a temporary one when that path is too long. */
export function prepareSocketDir(data_dir: string, account: Account): string {
  const name = `flotilla-${account.uid}-${hashOf(data_dir)}`;
  const candidates = [join(data_dir, 'socket'), join(tmpdir(), name), join('/tmp', name)];
  const socket_dir = candidates.find(
    (path) => Buffer.byteLength(socketPath(path)) <= LONGEST_SOCKET_PATH && ORDINARY_PATH.test(path),
  );
  if (socket_dir === undefined) {
    const message = `The path ${data_dir} is too long for a unix socket, and so is the temporary directory.`;
    throw new EmbeddedPostgresError(message, 'Set TMPDIR or FLOTILLA_DATA_DIR to a shorter path.');
  }
  try {
    makePrivate(socket_dir, account);
  } catch (error) {
    throw fileSystemError('make the socket directory', socket_dir, error);
  }
  return socket_dir;
}

/** Removes a socket directory outside the data directory, of which there would be one more for each data directory. */
export function removeSpareSocketDir(data_dir: string, socket_dir: string): void {
  if (dirname(socket_dir) === data_dir) return;
  try {
    rmdirSync(socket_dir);
  } catch {
    // A killed postmaster left its socket there; the next start finds the directory and clears it.
  }
}

function makePrivate(socket_dir: string, account: Account): void {
  try {
    mkdirSync(socket_dir, { mode: 0o700 });
    if (process.getuid?.() === 0) lchownSync(socket_dir, account.uid, account.gid);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
  // In a world-writable /tmp somebody else may have put a directory, or a link to one, in this place.
  const stat = lstatSync(socket_dir);
  // Root's own: a start was killed between the two lines above.
  if (stat.isDirectory() && stat.uid === 0 && process.getuid?.() === 0)
    lchownSync(socket_dir, account.uid, account.gid);
  else if (!stat.isDirectory() || stat.uid !== account.uid) {
    const message = `${socket_dir} should be a directory of the user ${account.name}, and is not.`;
    throw new EmbeddedPostgresError(
      message,
      'Find out who made it and remove it, or set TMPDIR to a private directory.',
    );
  }
  chmodSync(socket_dir, 0o700);
}

/**
 * Fails when some Postgres still answers although no process of this cluster is to be seen: the directory is shared
 * with another container. Starting a second postmaster there would corrupt the data. Then clears the stale socket.
 */
export async function clearSocket(
  socket_dir: string,
  data_dir: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const path = socketPath(socket_dir);
  for (let attempt = 0; await answers(path); attempt += 1) {
    if (attempt === 30) {
      const message = `Another Postgres that this process cannot see, perhaps in another container, uses this data directory: ${data_dir}.`;
      throw new EmbeddedPostgresError(message, 'Stop it first, or give this coordinator its own FLOTILLA_DATA_DIR.');
    }
    await sleep(100, undefined, { signal });
  }
  // Postgres would refuse to start over a lock whose pid some unrelated process has by now.
  for (const stale of [path, `${path}.lock`]) rmSync(stale, { force: true });
}

async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => finish(true));
    socket.once('error', () => finish(false));
  });
}
