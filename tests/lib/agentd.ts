import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { requireBundle } from './coordinator.ts';
import { type Ended, type Program, startProgram } from './processes.ts';
import { until } from './until.ts';

const ROOT = join(import.meta.dirname, '../../agentd');
const MAIN = join(ROOT, 'dist/main.js');

/** Every place at which agentd can be made to kill itself, read from its source: nothing of it may be imported here. */
export const readCrashLabels = (): string[] => {
  const source = readFileSync(join(ROOT, 'src/crash-point.ts'), 'utf8');
  const list = /crashLabels = \[(.*?)\] as const/s.exec(source)?.[1] ?? '';
  const labels = [...list.matchAll(/'([a-z._]+)'/g)].map(([, label = '']) => label);
  if (labels.length < 20) throw new Error(`found only ${labels.length} crash labels in agentd/src/crash-point.ts`);
  return labels;
};

export type Agentd = {
  name: string;
  state_dir: string;
  /** Starts it, again on the same state directory; resolves when it is ready, or has ended at a crash label. */
  start(env?: Record<string, string>): Promise<void>;
  /** SIGTERM, and how it ended. */
  stop(): Promise<Ended>;
  kill(): Promise<void>;
  signal(name: NodeJS.Signals): void;
  exited(): Promise<Ended>;
  running(): boolean;
  /** What it has not forgotten yet: the directories of its attempts, "TASK-EPOCH". */
  held(): string[];
  /** Process numbers of its attempts, by what they are. */
  attemptPids(file: 'shim.pid' | 'child.pid'): number[];
  logs(): string;
};

export type AgentdOptions = {
  name: string;
  state_dir: string;
  url: string;
  join_token: string;
  command: readonly string[];
  env?: Record<string, string>;
};

export const createAgentd = (options: AgentdOptions): Agentd => {
  requireBundle(MAIN, 'agentd');
  const { name, state_dir } = options;
  const attempts = join(state_dir, 'attempts');
  const runs: Program[] = [];
  const current = (): Program => {
    const run = runs.at(-1);
    if (run === undefined) throw new Error(`agentd ${name} was never started`);
    return run;
  };
  return {
    name,
    state_dir,
    start: async (env = {}) => {
      const run = startProgram([process.execPath, MAIN], {
        FLOTILLA_URL: options.url,
        FLOTILLA_JOIN_TOKEN: options.join_token,
        FLOTILLA_STATE_DIR: state_dir,
        FLOTILLA_AGENT_NAME: name,
        FLOTILLA_EXECUTOR: 'command',
        FLOTILLA_COMMAND: JSON.stringify(options.command),
        FLOTILLA_LOG_POLL_MS: '50',
        FLOTILLA_KILL_GRACE_MS: '500',
        ...options.env,
        ...env,
      });
      runs.push(run);
      await until(`agentd ${name} to be ready`, () => !run.running() || run.stdout().includes('"event":"ready"'));
      if (!run.running() && env.FLOTILLA_CRASH_AT === undefined)
        throw new Error(`agentd ${name} ended at its start: ${run.stderr().slice(-2000)}`);
    },
    stop: () => {
      current().kill('SIGTERM');
      return current().exited;
    },
    kill: async () => {
      current().kill('SIGKILL');
      await current().exited;
    },
    signal: (signal) => current().kill(signal),
    exited: () => current().exited,
    running: () => runs.at(-1)?.running() ?? false,
    held: () => readdirSync(attempts),
    attemptPids: (file) =>
      readdirSync(attempts).flatMap((key) => {
        try {
          const pid = Number.parseInt(readFileSync(join(attempts, key, file), 'utf8'), 10);
          return pid > 1 ? [pid] : [];
        } catch {
          return []; // not started yet, or just forgotten
        }
      }),
    logs: () => runs.map((run, index) => `--- agentd ${name}, start ${index + 1}\n${run.stderr()}`).join('\n'),
  };
};
