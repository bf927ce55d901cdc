import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** How long a program may take to stop before it is killed: longer than its own shutdown. */
const STOP_MS = 30_000;

export type Program = {
  name: string;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stop: () => Promise<void>;
  /** Starts it once more, as it was started. */
  again: () => Promise<Program>;
};

/** A program that ended before it was ready, and what it said. */
export class EndedError extends Error {
  override name = 'EndedError';
  readonly code: number | string | null;
  /** Its words on stderr without its log, which is JSON. */
  readonly said: string;
  constructor(program: string, code: number | string | null, lines: readonly string[]) {
    super(`${program} ended (${code}) before it was ready:\n${lines.join('\n')}`);
    this.code = code;
    this.said = lines.filter((line) => !line.startsWith('{')).join(' ');
  }
}

const path = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url));

/** Ends the child when we die without a word (kill -9), where the system can; a group of its own keeps Ctrl-C for us. */
const command = (script: string): [string, string[]] => {
  const node = [process.execPath, path(script)];
  const setpriv = '/usr/bin/setpriv';
  return existsSync(setpriv) ? [setpriv, ['--pdeathsig', 'TERM', '--', ...node]] : [node[0] ?? 'node', node.slice(1)];
};

/** Starts one of our bundles; resolves with the first JSON line it prints for which `ready` answers something. */
export const startProgram = async <T>(
  name: string,
  script: string,
  environment: Record<string, string>,
  ready: (line: Record<string, unknown>) => T | null,
): Promise<Program & { ready: T }> => {
  const [file, args] = command(script);
  const env = { ...withoutOurs(process.env), ...environment };
  const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => void (lines.push(line) > 40 && lines.shift()));
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', (error) => {
      lines.push(error.message);
      resolve({ code: null, signal: null });
    });
  });
  const again = () => startProgram(name, script, environment, ready);
  const program: Program = { name, exited, stop: () => stop(child, exited), again };
  const first = new Promise<T>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const value = parse(line);
      const answer = value === null ? null : ready(value);
      if (answer !== null) resolve(answer);
    });
    void exited.then(({ code, signal }) => reject(new EndedError(name, signal ?? code, lines)));
  });
  try {
    return { ...program, ready: await first };
  } catch (error) {
    await program.stop();
    throw error;
  }
};

const stop = async (child: ChildProcess, exited: Promise<unknown>): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(timer);
};

const parse = (line: string): Record<string, unknown> | null => {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
};

/** A person's own FLOTILLA_* settings (a CLI context, say) must not leak into the local set-up. */
const withoutOurs = (environment: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] =>
        entry[1] !== undefined && !/^(FLOTILLA_|DATABASE_URL$|REDIS_URL$)/.test(entry[0]),
    ),
  );
