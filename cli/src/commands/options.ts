import { InvalidArgumentError, type Command } from 'commander';

import { CliError } from '../exit.ts';
import { parseDuration } from '../output/format.ts';

/** The first thing `--help` shows. */
export const examples = (command: Command, ...lines: string[]): Command =>
  command.addHelpText('before', `Examples:\n${lines.map((line) => `  $ flotilla ${line}`).join('\n')}\n`);

export const mutates = (command: Command): Command =>
  command.option('--dry-run', 'print the request that would be sent, and send nothing');

export const destroys = (command: Command): Command => mutates(command).option('-y, --yes', 'do not ask');

const asArgument =
  <T>(parse: (value: string) => T) =>
  (value: string): T => {
    try {
      return parse(value);
    } catch (error) {
      if (error instanceof CliError) throw new InvalidArgumentError(`${error.message} ${error.hint ?? ''}`.trim());
      throw error;
    }
  };

/** An option of seconds, written as 30s, 10m, 2h or 1d. */
export const duration = asArgument(parseDuration);

export const wholeNumber =
  (min: number) =>
  (value: string): number => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || !Number.isSafeInteger(number) || number < min)
      throw new InvalidArgumentError(`Give a whole number of at least ${min}.`);
    return number;
  };

/** `--tag a --tag b` or `--tag a,b`: never variadic, which would swallow the argument after it. */
export const collect = (value: string, before: string[] | undefined): string[] => [
  ...(before ?? []),
  ...value.split(',').filter((part) => part !== ''),
];

/** A comma-separated choice out of a closed set. */
export const someOf =
  <T extends string>(choices: readonly T[]) =>
  (value: string, before: T[] | undefined): T[] => {
    const parts = value.split(',').filter((part) => part !== '');
    const known = choices.filter((choice) => parts.includes(choice));
    const wrong = parts.find((part) => !choices.some((choice) => choice === part));
    if (wrong !== undefined || parts.length === 0) throw new InvalidArgumentError(`Choose from ${choices.join(', ')}.`);
    return [...(before ?? []), ...known];
  };

export const oneOf =
  <T extends string>(choices: readonly T[]) =>
  (value: string): T => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw new InvalidArgumentError(`Choose from ${choices.join(', ')}.`);
    return found;
  };

export const pages = (command: Command): Command =>
  command
    .option('--limit <n>', 'at most this many (default 50)', wholeNumber(1))
    .option('--all', 'every one, however many');
export type PageOptions = { limit?: number; all?: boolean };
