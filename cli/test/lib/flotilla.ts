import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';

export type Run = { code: number | null; stdout: string; stderr: string };
export type Options = { env?: Record<string, string>; stdin?: string; tty?: boolean };

/** Resolves when the condition holds; no fixed sleeps, only a limit. */
export const until = async (condition: () => boolean, what: string, limit_ms = 8_000): Promise<void> => {
  const end = performance.now() + limit_ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

/** A terminal for the child comes from util-linux' script(1). */
export const hasTerminal = process.platform === 'linux' && existsSync('/usr/bin/script');

const quote = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;

export type Home = {
  dir: string;
  env: Record<string, string>;
  run: (args: string[], options?: Options) => Promise<Run>;
  start: (args: string[], options?: Options) => Started;
  close: () => Promise<void>;
};
export type Started = {
  out: () => string;
  err: () => string;
  write: (text: string) => void;
  signal: (name: NodeJS.Signals) => void;
  /** Closes our end of its stdout, like `| head` does. */
  hangUp: () => void;
  ended: Promise<Run>;
};

/** A person with an empty home directory, and optionally the two variables of a coordinator. */
export const createHome = async (connection: Record<string, string> = {}): Promise<Home> => {
  const dir = await mkdtemp(join(tmpdir(), 'flotilla-home-'));
  const env = { PATH: process.env['PATH'] ?? '', HOME: dir, TERM: 'xterm-256color', ...connection };
  const main = inject('flotilla');

  const start = (args: string[], options: Options = {}): Started => {
    const argv = [process.execPath, main, ...args];
    const [file = '', ...rest] =
      options.tty === true ? ['script', '-qec', argv.map(quote).join(' '), '/dev/null'] : argv;
    const child = spawn(file, rest, { env: { ...env, ...options.env }, stdio: 'pipe' });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
    child.stdin.on('error', () => undefined);
    if (options.tty !== true) child.stdin.end(options.stdin ?? '');
    const ended = once(child, 'close').then(([code]): Run => ({
      code: typeof code === 'number' ? code : null,
      ...output,
    }));
    return {
      out: () => output.stdout,
      err: () => output.stderr,
      write: (text) => child.stdin.write(text),
      signal: (name) => child.kill(name),
      hangUp: () => child.stdout.destroy(),
      ended,
    };
  };
  return {
    dir,
    env,
    start,
    run: (args, options) => start(args, options).ended,
    close: () => rm(dir, { recursive: true, force: true }),
  };
};
