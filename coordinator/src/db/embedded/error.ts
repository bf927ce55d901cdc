/** Why the embedded Postgres could not start, as one sentence, and what a person can do about it. */
export class EmbeddedPostgresError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EmbeddedPostgresError';
    this.hint = hint;
  }
}

const ELSEWHERE = 'set FLOTILLA_DATA_DIR to another directory, or DATABASE_URL to use your own Postgres';

const REASONS: Record<string, [reason: string, hint: string]> = {
  EACCES: ['permission denied', `Give this user write access to it, or ${ELSEWHERE}.`],
  EPERM: ['operation not permitted', `Give this user write access to it, or ${ELSEWHERE}.`],
  EROFS: ['the file system is read-only', `Remount it writable, or ${ELSEWHERE}.`],
  ENOSPC: ['the disk is full', `Free some space, or ${ELSEWHERE}.`],
  EDQUOT: ['the disk quota is used up', `Free some space, or ${ELSEWHERE}.`],
  ENOTDIR: ['a part of this path is not a directory', `Remove the file in the way, or ${ELSEWHERE}.`],
  EEXIST: ['something that is not a directory is in the way', `Remove it, or ${ELSEWHERE}.`],
  ENAMETOOLONG: ['the path is too long', `Choose a shorter one: ${ELSEWHERE}.`],
};

/** The `code` of a system error, such as `ENOENT`; the empty string of anything else. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Turns a failed file operation into a sentence that names the path, the reason and the remedy. */
export function fileSystemError(action: string, path: string, cause: unknown): EmbeddedPostgresError {
  if (cause instanceof EmbeddedPostgresError) return cause;
  const known = REASONS[errorCode(cause)];
  const reason = known?.[0] ?? (cause instanceof Error ? cause.message : String(cause));
  const hint = known?.[1] ?? `Check ${path}, or ${ELSEWHERE}.`;
  return new EmbeddedPostgresError(`Cannot ${action} ${path}: ${reason}.`, hint, { cause });
}

/** The hint for what a Postgres program printed before it failed. */
export function hintForOutput(output: string): string {
  if (/No space left on device|Disk quota exceeded|Check free disk space/.test(output))
    return `Free some disk space, or ${ELSEWHERE}.`;
  if (/Permission denied|Read-only file system/.test(output))
    return `Check the owner of the data directory, or ${ELSEWHERE}.`;
  if (/could not create shared memory segment|Cannot allocate memory/.test(output))
    return 'Free some memory, or lower shared_buffers.';
  if (/could not look up effective user ID/.test(output))
    return 'Run the coordinator as a user that is listed in /etc/passwd.';
  return `Read its log; if the data directory is damaged restore a backup, or ${ELSEWHERE}.`;
}

/** The lines of a program's output that tell why it failed, or else its last ones, short enough for a message. */
export function tellingLines(output: string): string {
  const lines = output.split('\n').map((line) => line.replace(/^.*?\[\d+\] (?=[A-Z]+: )/, '').trim());
  const filled = lines.filter((line) => line !== '');
  const telling = filled.filter((line) => /FATAL|PANIC|ERROR|HINT|error:/.test(line));
  return (telling.length > 0 ? telling.slice(0, 2) : filled.slice(-2)).join(' | ').slice(0, 600);
}
