import { randomBytes } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Account } from './accounts.ts';
import { fileSystemError } from './error.ts';

export type AccessFiles = { hba_file: string; ident_file: string };

/**
 * Writes who may log in. They lie beside the cluster and are written at each start, so that a cluster can change
 * between coordinators of different users, and so that root never writes inside another user's directory.
 */
export function writeAccessFiles(data_dir: string, accounts: Account[]): AccessFiles {
  const hba_file = join(data_dir, 'pg_hba.conf');
  const ident_file = join(data_dir, 'pg_ident.conf');
  // Root could become any of them; so it may also make a backup without doing that.
  const names = [...new Set([...accounts.map((account) => account.name), 'root'])];
  replaceFile(hba_file, 'local all postgres peer map=flotilla\nlocal replication postgres peer map=flotilla\n');
  replaceFile(ident_file, names.map((name) => `flotilla "${name}" postgres\n`).join(''));
  return { hba_file, ident_file };
}

function replaceFile(path: string, text: string): void {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(draft, text, { flag: 'wx', mode: 0o644 });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw fileSystemError('write', path, error);
  }
}
