import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { build } from 'esbuild';

import type { Facts } from './facts.ts';
import type { Scope } from './scope.ts';

const ROOT = join(import.meta.dirname, '..');
const PROGRAMS = ['load/main', 'peers/main', 'programs/bare', 'programs/empty', 'programs/parts'] as const;
type Name = (typeof PROGRAMS)[number];

/** As plain JavaScript, so that no compiler runs in, and is measured with, the processes that the benchmark starts. */
export const bundlePrograms = async (): Promise<void> => {
  const common = { absWorkingDir: ROOT, outdir: 'dist', outbase: 'src', bundle: true, platform: 'node' } as const;
  const options = { ...common, format: 'esm', target: 'node20', logLevel: 'warning' } as const;
  const entries = PROGRAMS.filter((name) => name !== 'programs/parts').map((name) => `src/${name}.ts`);
  await build({ ...options, entryPoints: entries, packages: 'external' });
  // As agentd is: in one file.
  const banner = "import{createRequire}from'node:module';const require=createRequire(import.meta.url);";
  await build({ ...options, entryPoints: ['src/programs/parts.ts'], banner: { js: banner } });
};

/** Ends with us, whatever becomes of us: it leaves when the channel closes. */
export const startNode = (scope: Scope, name: Name): ChildProcess => {
  const child = fork(join(ROOT, 'dist', `${name}.js`), { execArgv: [], detached: true });
  scope.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return child;
};

/** The next thing it says; an end without a word is an error. */
export const hear = async <T>(child: ChildProcess): Promise<T> => {
  const heard = new AbortController();
  const { signal } = heard;
  const left = once(child, 'exit', { signal }).then(([code, by]) => {
    throw new Error(`${child.spawnargs.at(-1)} ended (${code ?? by})`);
  });
  left.catch(() => {});
  try {
    const [message] = await Promise.race([once(child, 'message', { signal }), left]);
    return message as T;
  } finally {
    heard.abort();
  }
};

/** A bare server; where it listens. */
export const startBare = async (scope: Scope, facts: Facts | null): Promise<{ url: string; pid: number }> => {
  const child = startNode(scope, 'programs/bare');
  child.send({ facts });
  return { url: await hear<string>(child), pid: child.pid ?? 0 };
};
