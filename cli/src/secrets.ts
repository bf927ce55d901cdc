import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';

import type { Cli } from './cli.ts';
import { CliError, usageError } from './exit.ts';

type TokenFlags = { token?: string; tokenFile?: string };

const checkToken = (raw: string, from: string): string => {
  const token = raw.trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw usageError(token === '' ? `${from} holds no token.` : `${from} holds something that is not a token.`);
};

/** `--token-file F` or `--token -`. A token as an argument would be visible to every user of the machine, so it is refused. */
export const readTokenFlags = async (cli: Cli, { token, tokenFile }: TokenFlags): Promise<string | null> => {
  if (token !== undefined && tokenFile !== undefined) throw usageError('Give --token - or --token-file, not both.');
  if (token !== undefined && token !== '-') {
    throw usageError(
      'A token on the command line is visible to everybody on this machine.',
      'Use --token-file FILE, or --token - to read it from stdin. If it was a real one, revoke it.',
    );
  }
  if (token === '-') return checkToken(await text(cli.stdin), 'stdin');
  if (tokenFile === undefined) return null;
  try {
    return checkToken(await readFile(tokenFile, 'utf8'), tokenFile);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw usageError(`Cannot read the token file: ${error instanceof Error ? error.message : String(error)}`);
  }
};
