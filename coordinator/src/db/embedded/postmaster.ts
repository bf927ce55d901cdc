import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedPostgresError, hintForOutput, tellingLines } from './error.ts';
import { readPostmasterPid } from './postmaster-pid.ts';

export type PostmasterExit = { code: number | null; signal: NodeJS.Signals | null };

export type Postmaster = {
  pid: number | undefined;
  exited: Promise<PostmasterExit>;
  /** Resolves when all output is read; some backends may hold it open longer than the postmaster lives. */
  closed: Promise<void>;
  output(): string;
  stop(): Promise<void>;
};

const POLL_MS = 10;
/** Replaying a full WAL after a crash takes seconds; this only ends a start that will never succeed. */
const READY_LIMIT_MS = 600_000;
const FAST_STOP_MS = 10_000;
const IMMEDIATE_STOP_MS = 10_000;

/** Watches a postmaster that has just been spawned: its lines, its end, and its stop. */
export function watchPostmaster(child: ChildProcess, log: (line: string) => void): Postmaster {
  let output = '';
  const keep = (line: string): void => {
    output = `${output}${line}\n`.slice(-8000);
    log(line);
  };
  const exited = new Promise<PostmasterExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', (error) => {
      keep(error.message);
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  forEachLine(child.stderr, keep);
  forEachLine(child.stdout, keep);
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= stopChild(child, exited));
  return { pid: child.pid, exited, closed, output: () => output, stop };
}

/** SIGINT is the fast shutdown: it ends connections, writes a checkpoint, and leaves. */
async function stopChild(child: ChildProcess, exited: Promise<PostmasterExit>): Promise<void> {
  child.kill('SIGINT');
  const quit = setTimeout(() => child.kill('SIGQUIT'), FAST_STOP_MS);
  const kill = setTimeout(() => child.kill('SIGKILL'), FAST_STOP_MS + IMMEDIATE_STOP_MS);
  await exited;
  clearTimeout(quit);
  clearTimeout(kill);
}

/** Waits until the postmaster takes connections; throws with its last words if it ends instead. */
export async function waitUntilReady(
  postmaster: Postmaster,
  cluster_dir: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const started_at = performance.now();
  let ended = false;
  void postmaster.exited.then(() => (ended = true));
  for (;;) {
    await sleep(POLL_MS, undefined, { signal });
    if (ended) throw await startFailure(postmaster, cluster_dir);
    const lock = readPostmasterPid(cluster_dir);
    if (lock !== null && lock.pid === postmaster.pid && lock.status === 'ready') return;
    if (performance.now() - started_at > READY_LIMIT_MS) {
      const message = `Postgres in ${cluster_dir} is not ready after ${READY_LIMIT_MS / 60_000} minutes: ${tellingLines(postmaster.output())}`;
      throw new EmbeddedPostgresError(message, 'Look at its log, and at the load of this machine and its disk.');
    }
  }
}

async function startFailure(postmaster: Postmaster, cluster_dir: string): Promise<EmbeddedPostgresError> {
  await Promise.race([postmaster.closed, sleep(500)]);
  const output = postmaster.output();
  return new EmbeddedPostgresError(
    `Postgres does not start in ${cluster_dir}: ${tellingLines(output)}`,
    hintForOutput(output),
  );
}

function forEachLine(stream: NodeJS.ReadableStream | null, use: (line: string) => void): void {
  let rest = '';
  stream?.setEncoding('utf8');
  stream?.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) use(line);
  });
  stream?.on('end', () => {
    if (rest !== '') use(rest);
  });
}
