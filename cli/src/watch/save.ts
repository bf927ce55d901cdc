import { open, rm } from 'node:fs/promises';

import { CliError, usageError } from '../exit.ts';
import type { Session } from '../session.ts';
import { logWriter } from './log.ts';

/** A file that is there is never overwritten; the answer is asked for once the file is ours. */
const create = async (path: string) => {
  try {
    return await open(path, 'wx');
  } catch (error) {
    throw usageError(`Cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
};

/** Copies an answer to a new file, or to stdout. A file that did not become whole is removed again. */
export const saveBody = async (session: Session, ask: () => Promise<Response>, path: string | null): Promise<void> => {
  if (path === null) {
    const write = logWriter(session.cli.stdout);
    const response = await ask();
    try {
      for await (const bytes of response.body ?? []) await write(bytes);
    } catch (error) {
      throw brokenOff(session, error);
    }
    return;
  }
  const file = await create(path);
  try {
    const response = await ask();
    for await (const bytes of response.body ?? []) await file.appendFile(bytes);
    await file.close();
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw brokenOff(session, error);
  }
};

const brokenOff = (session: Session, error: unknown): unknown => {
  session.signal.throwIfAborted();
  // fetch says of a body that broke off no more than this.
  if (!(error instanceof TypeError)) return error;
  return new CliError('failed', 'The answer broke off; what came is not whole.', { hint: 'Try again.', cause: error });
};
