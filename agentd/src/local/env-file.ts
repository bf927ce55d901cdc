import { open } from 'node:fs/promises';

import { ConfigError } from '../config.ts';

const unquote = (value: string): string => /^(["'])(.*)\1$/s.exec(value)?.[2] ?? value;

const parseLine = (path: string, line: string, number: number): [string, string] | null => {
  if (/^\s*(#|$)/.test(line)) return null;
  const [, name, value = ''] = /^\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)$/.exec(line) ?? [];
  if (name === undefined || name.startsWith('FLOTILLA_') || value.includes('\0')) {
    // The line itself is not shown: it may be half a key.
    throw new ConfigError([`Line ${number} of ${path} is not NAME=value, or names a FLOTILLA_ variable: correct it.`]);
  }
  return [name, unquote(value.trim())];
};

/**
 * Reads a file of NAME=value lines that only its owner may read; "#" begins a comment line, quotes around a value go, and
 * nothing is expanded. Throws `ConfigError`.
 */
export const readEnvFile = async (path: string): Promise<Record<string, string>> => {
  let text: string;
  let mode: number;
  try {
    const handle = await open(path, 'r');
    try {
      ({ mode } = await handle.stat());
      text = await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new ConfigError([
      `The file ${path} cannot be read (${(error as Error).message}): correct its path or owner.`,
    ]);
  }
  if ((mode & 0o077) !== 0) {
    throw new ConfigError([`The file ${path} holds secrets and others may read it: run chmod 600 ${path}.`]);
  }
  const entries = text.split('\n').map((line, index) => parseLine(path, line.replace(/\r$/, ''), index + 1));
  return Object.fromEntries(entries.filter((entry) => entry !== null));
};
