import { explainStartFailure } from '../start-failure.ts';

/** What an operator can act on: a sentence, its remedy, and the exit code. 2 is for how it was called, 1 for the rest. */
export class AdminError extends Error {
  override name = 'AdminError';
  readonly exit_code: 1 | 2;

  constructor(sentence: string, options: { exit_code?: 1 | 2; cause?: unknown } = {}) {
    super(sentence, { cause: options.cause });
    this.exit_code = options.exit_code ?? 1;
  }
}

const remedies: Record<string, string> = {
  ENOENT: 'there is no such file or directory',
  EACCES: 'this account may not read or write it',
  EISDIR: 'it is a directory; name a file',
  ENOTDIR: 'a part of this path is not a directory',
  ENOSPC: 'the disk is full; free some space',
  EROFS: 'the file system is read-only',
  EPIPE: 'whoever read the backup went away',
  '28000':
    'Postgres does not let this account in; run this as the account that runs the coordinator, or as root (for an external one check DATABASE_URL)',
  '42501': 'the role of DATABASE_URL must own the database',
  '53100': 'the disk of the database is full; nothing was changed',
  '55P03': 'something else holds the tables; stop whatever is connected to this database',
  '57P01': 'Postgres was stopped meanwhile; try again when it runs',
  CONNECTION_CLOSED: 'Postgres went away meanwhile; nothing was changed, try again',
  CONNECTION_ENDED: 'Postgres went away meanwhile; nothing was changed, try again',
  CONNECT_TIMEOUT: 'Postgres does not answer; check DATABASE_URL',
};

/** Never a stack trace: a sentence and the exit code. */
export const explainFailure = (error: unknown): { text: string; exit_code: number } => {
  if (error instanceof AdminError) return { text: error.message, exit_code: error.exit_code };
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  const message = error instanceof Error ? error.message : String(error);
  const remedy = remedies[code];
  // Node's own message of a failed file operation says the same in other words; the path is what counts.
  const subject = fileOf(error) ?? message;
  if (remedy !== undefined) return { text: `${subject}: ${remedy}.`, exit_code: 1 };
  const known = explainStartFailure(error);
  if (known !== null) return { text: known, exit_code: error instanceof Error && error.name === 'ConfigError' ? 2 : 1 };
  return { text: `It failed: ${message}. This looks like a defect; please report it.`, exit_code: 1 };
};

/** The file that an error of Node is about; of a rename the one that a person named. */
const fileOf = (error: unknown): string | null => {
  if (!(error instanceof Error) || !('path' in error)) return null;
  return String('dest' in error ? error.dest : error.path);
};
