import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The admin token of a local Flotilla: made at the first start and kept in the data directory (0600), so that a second
 * start can create its sample task. `fresh` says that it was made just now and should be shown.
 */
export const localCredential = (data_dir: string): { token: string; file: string; fresh: boolean } => {
  const file = join(data_dir, 'admin-token');
  try {
    return { token: readFileSync(file, 'utf8').trim(), file, fresh: false };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // fs errors carry a code
  }
  const token = `flu_${randomBytes(32).toString('base64url')}`;
  mkdirSync(data_dir, { recursive: true, mode: 0o711 });
  writeFileSync(file, `${token}\n`, { mode: 0o600, flag: 'wx' });
  return { token, file, fresh: true };
};
